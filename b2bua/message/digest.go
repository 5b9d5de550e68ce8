package message

import (
	"crypto/hmac"
	"crypto/md5" // what most phones and PBXs can, after SHA-256
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
// challenges to trunks as in challenges from targets.
type Algorithm string

// hashes are the algorithms that targets may ask for. No name stands for MD5 (RFC
// 7616 section 3.3).
var hashes = map[string]func() hash.Hash{
	"": md5.New, "MD5": md5.New, "SHA-256": sha256.New,
	"SHA-512-256": sha512.New512_256,
}

// Known reports whether the algorithm is one that can be computed.
func (a Algorithm) Known() bool { return hashes[string(a)] != nil }

// Algorithms returns the algorithms that trunks may be asked for, the preferred one first
// (RFC 8760 section 2.4). Credentials without a name are of the last one (RFC 7616
// section 3.3).
func Algorithms() [2]Algorithm { return [...]Algorithm{"SHA-256", "MD5"} }

// AlgorithmsOf returns the algorithms of these names, in their order.
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

// The nonce of a digest challenge carries all that is known of it, so that a
// challenge costs no memory: the process that made it and the milliseconds that this
// had run, a salt, its holder, what is called, and a keyed hash of these. A
// trunk's may come back from any of its addresses, a stranger's from the one that it was
// given to (GivenTo). The holder is a keyed hash of the address that the nonce was
// given to; failures count against it. What is called is a keyed hash of the user in the
// Request-URI.
//
// No clock counts that can be set: one that is set back would make every nonce too old,
// or keep old ones young. So the age of a nonce is not known to the next process. That
// knows it as ours, for it has the key, and asks for a new one (stale=true): the counts
// that came with it are forgotten, too.
const (
	nonceTimeLen   = 5 // 34 years
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

// nonceText is short, because the challenge of a stranger must fit into the bytes of its
// request.
var nonceText = base64.RawURLEncoding.Strict()

// nonceTTL is how long a nonce may be used.
const nonceTTL = 5 * time.Minute

// Nonce is a nonce as it is sent.
type Nonce [challengeLen]byte

// holder stands for the address that a nonce was given to.
type holder [nonceHolderLen]byte

// ReceivedNonce is a nonce of this server that came back.
type ReceivedNonce struct {
	made   time.Time // zero means by an earlier process
	id     nonceID
	holder holder
	called called
}

// called stands for the user that a nonce was given for.
type called [nonceCalledLen]byte

// nonceID tells nonces apart.
type nonceID [nonceTimeLen + nonceRunLen + nonceSaltLen]byte

// Challenge makes a nonce for an address that calls a user. It allocates nothing.
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

// holderOf returns the holder that stands for an address; all addresses of one
// IPv6 /64 network have the same.
func (m *Minter) holderOf(addr netip.Addr) holder {
	a := NetworkOf(addr).As16()
	mac := m.mac(holderDomain, a[:])
	return holder(mac[:nonceHolderLen])
}

func (m *Minter) calledOf(user []byte) called {
	mac := m.mac(calledDomain, user)
	return called(mac[:nonceCalledLen])
}

// IsFor reports whether a nonce was given to somebody who called this user.
func (m *Minter) IsFor(n ReceivedNonce, user string) bool {
	return n.called == m.calledOf([]byte(user))
}

// ReadNonce reads a nonce; false means it is not one of this server.
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

// NetworkOf returns an IPv4 address as it is, and of an IPv6 address its /64 network,
// whose addresses are all one peer's to choose from.
func NetworkOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	return netip.PrefixFrom(addr, 64).Masked().Addr()
}
