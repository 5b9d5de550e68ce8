package message

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"
)

// A nonce of a digest challenge says by itself when it was made and that we
// made it, so that a challenge costs no memory: milliseconds since 1970, a
// salt, whom it was given to, and a keyed hash of these. It is good from
// whatever address it comes back. Whom it was given to is a keyed hash of the
// address: failures count against that one.
const (
	nonceTimeLen   = 6
	nonceSaltLen   = 8
	nonceHolderLen = 4
	nonceMACLen    = 8
	nonceDataLen   = nonceTimeLen + nonceSaltLen + nonceHolderLen
	challengeLen   = 2 * (nonceDataLen + nonceMACLen)

	challengeDomain = 'n'
	holderDomain    = 'a'
)

// NonceTTL is how long a nonce may be used.
const NonceTTL = 5 * time.Minute

// Nonce is a nonce as it goes out.
type Nonce [challengeLen]byte

// holder stands for the address that a nonce was given to.
type holder [nonceHolderLen]byte

// nonceData is what a nonce says.
type nonceData struct {
	made   time.Time
	id     [nonceTimeLen + nonceSaltLen]byte // unique
	Holder holder
}

// Challenge makes a nonce for an address. It allocates nothing.
func (m *Minter) Challenge(to netip.Addr, now time.Time) (out Nonce) {
	var raw [nonceDataLen + nonceMACLen]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(raw[:nonceTimeLen], ms[8-nonceTimeLen:])
	rand.Read(raw[nonceTimeLen : nonceTimeLen+nonceSaltLen]) // never fails
	h := m.holderOf(to)
	copy(raw[nonceTimeLen+nonceSaltLen:], h[:])
	mac := m.mac(challengeDomain, raw[:nonceDataLen])
	copy(raw[nonceDataLen:], mac[:nonceMACLen])
	hex.Encode(out[:], raw[:])
	return out
}

// holderOf is the same for all addresses of an IPv6 network of one site.
func (m *Minter) holderOf(addr netip.Addr) holder {
	a := addr.Unmap().As16()
	if addr.Unmap().Is6() {
		clear(a[8:])
	}
	mac := m.mac(holderDomain, a[:])
	return holder(mac[:nonceHolderLen])
}

// ReadNonce gives what a nonce says, false if we did not make it.
func (m *Minter) ReadNonce(nonce string) (d nonceData, ok bool) {
	var raw [nonceDataLen + nonceMACLen]byte
	if len(nonce) != challengeLen {
		return d, false
	}
	if _, err := hex.Decode(raw[:], []byte(nonce)); err != nil {
		return d, false
	}
	mac := m.mac(challengeDomain, raw[:nonceDataLen])
	if !hmac.Equal(mac[:nonceMACLen], raw[nonceDataLen:]) {
		return d, false
	}
	var ms [8]byte
	copy(ms[8-nonceTimeLen:], raw[:nonceTimeLen])
	d.made = time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
	copy(d.id[:], raw[:])
	copy(d.Holder[:], raw[nonceTimeLen+nonceSaltLen:])
	return d, true
}
