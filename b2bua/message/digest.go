package message

import (
	"crypto/hmac"
	"crypto/md5" // supported by most phones and PBXs; SHA-256 is preferred
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net/netip"
	"time"
)

// Algorithm is the name of a hash in digest authentication (RFC 8760 section 2), in
// challenges to trunks and in challenges from targets.
type Algorithm string

// hashes maps the algorithms that targets may ask for. An empty name means MD5 (RFC 7616
// section 3.3).
var hashes = map[string]func() hash.Hash{
	"": md5.New, "MD5": md5.New, "SHA-256": sha256.New,
	"SHA-512-256": sha512.New512_256,
}

// Known reports whether we can compute the algorithm.
func (a Algorithm) Known() bool { return hashes[string(a)] != nil }

// Algorithms returns the algorithms that we ask trunks for, the preferred one first (RFC
// 8760 section 2.4). Credentials that name no algorithm use the last one (RFC 7616
// section 3.3).
func Algorithms() [2]Algorithm { return [...]Algorithm{"SHA-256", "MD5"} }

// AlgorithmsOf returns the algorithms with these names, in the same order.
func AlgorithmsOf(names []string) (all []Algorithm) {
	for _, name := range names {
		for _, a := range Algorithms() {
			if string(a) == name {
				all = append(all, a)
			}
		}
	}
	return all
}

// Sum returns the hash of parts with colons between them, in hexadecimal.
func (a Algorithm) Sum(parts ...string) string {
	h := hashes[string(a)]()
	for i, p := range parts {
		if i > 0 {
			h.Write([]byte{':'})
		}
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A nonce for digest challenges contains everything that we know about it, so that a challenge
// costs no memory: the process that made it, how long this process had run in milliseconds, a salt,
// the holder, the called user, and a keyed hash of all these. The holder is a keyed hash of the
// address that the nonce was given to; failures count against the holder. A trunk may use its nonce
// from any of its addresses, and a stranger only from the holder's (GivenTo). The called user is a
// keyed hash of the user in the Request-URI.
//
// The age of a nonce does not depend on a clock that can be set: if it did, setting the clock could
// make every nonce too old, or old nonces young again. So a new process does not know the age of an
// old process's nonces. It has the same key, so it recognises them, and asks for new credentials
// (stale=true). It has lost the nonce counts as well.
const (
	nonceTimeLen   = 5 // enough for 34 years
	nonceRunLen    = 4
	nonceSaltLen   = 4
	nonceHolderLen = 4
	nonceCalledLen = 4
	nonceMACLen    = 8
	nonceDataLen   = nonceTimeLen + nonceRunLen + nonceSaltLen + nonceHolderLen + nonceCalledLen
	challengeLen   = (8*(nonceDataLen+nonceMACLen) + 5) / 6 // in base64

	challengeDomain = 'n'
	holderDomain    = 'a'
	calledDomain    = 'u'
)

// nonceText is a short encoding, because a challenge to a stranger must not be longer than the
// stranger's request.
var nonceText = base64.RawURLEncoding.Strict()

// nonceTTL is how long a nonce is valid.
const nonceTTL = 5 * time.Minute

// Nonce is a nonce as it is sent.
type Nonce [challengeLen]byte

// holder identifies the address that a nonce was given to.
type holder [nonceHolderLen]byte

// ReceivedNonce is a nonce of this server that came back in a request.
type ReceivedNonce struct {
	made   time.Time // when it was made; zero if an earlier process made it
	id     nonceID
	holder holder
	called called
}

// called identifies the called user that a nonce was made for.
type called [nonceCalledLen]byte

// nonceID identifies a nonce.
type nonceID [nonceTimeLen + nonceRunLen + nonceSaltLen]byte

// Challenge returns a new nonce for an address that calls a user. It allocates nothing.
func (m *Minter) Challenge(to netip.Addr, user []byte, now time.Time) (out Nonce) {
	var raw [nonceDataLen + nonceMACLen]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(0, now.Sub(m.begun).Milliseconds())))
	copy(raw[:nonceTimeLen], ms[8-nonceTimeLen:])
	copy(raw[nonceTimeLen:], m.run[:])
	rand.Read(raw[nonceTimeLen+nonceRunLen : len(nonceID{})]) // never fails
	h := m.holderOf(to)
	copy(raw[len(nonceID{}):], h[:])
	u := m.calledOf(user)
	copy(raw[len(nonceID{})+len(h):], u[:])
	mac := m.mac(challengeDomain, raw[:nonceDataLen])
	copy(raw[nonceDataLen:], mac[:nonceMACLen])
	nonceText.Encode(out[:], raw[:])
	return out
}

// holderOf returns the holder for an address. All addresses of an IPv6 /64 network have
// the same holder.
func (m *Minter) holderOf(addr netip.Addr) holder {
	a := NetworkOf(addr).As16()
	mac := m.mac(holderDomain, a[:])
	return holder(mac[:nonceHolderLen])
}

func (m *Minter) calledOf(user []byte) called {
	mac := m.mac(calledDomain, user)
	return called(mac[:nonceCalledLen])
}

// IsFor reports whether a nonce was made for a call to this user.
func (m *Minter) IsFor(n ReceivedNonce, user string) bool {
	return n.called == m.calledOf([]byte(user))
}

// ReadNonce reads a nonce. It returns false if the nonce is not from this server.
func (m *Minter) ReadNonce(nonce []byte) (n ReceivedNonce, ok bool) {
	var raw [nonceDataLen + nonceMACLen]byte
	if len(nonce) != challengeLen {
		return n, false
	}
	if _, err := nonceText.Decode(raw[:], nonce); err != nil {
		return n, false
	}
	mac := m.mac(challengeDomain, raw[:nonceDataLen])
	if !hmac.Equal(mac[:nonceMACLen], raw[nonceDataLen:]) {
		return n, false
	}
	copy(n.id[:], raw[:])
	copy(n.holder[:], raw[len(n.id):])
	copy(n.called[:], raw[len(n.id)+len(n.holder):])
	if [nonceRunLen]byte(n.id[nonceTimeLen:]) == m.run {
		var ms [8]byte
		copy(ms[8-nonceTimeLen:], raw[:nonceTimeLen])
		n.made = m.begun.Add(time.Duration(binary.BigEndian.Uint64(ms[:])) * time.Millisecond)
	}
	return n, true
}

// GivenTo reports whether a nonce was given to this address, or to another one of its
// IPv6 /64 network.
func (m *Minter) GivenTo(n ReceivedNonce, addr netip.Addr) bool { return n.holder == m.holderOf(addr) }

// NetworkOf returns an IPv4 address unchanged, and the /64 network of an IPv6 address,
// because one peer can use all addresses of such a network.
func NetworkOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	return netip.PrefixFrom(addr, 64).Masked().Addr()
}
