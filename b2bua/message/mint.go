package message

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// A minted value is a nonce and a keyed hash of it, so that a tag or branch that
// comes back is recognised without a table: before parsing, and also after a restart.
const (
	nonceLen  = 8 // bytes
	macLen    = 6 // bytes: a guess is right once in 2^48
	mintedLen = 2 * (nonceLen + macLen)

	tagDomain    = 't'
	branchDomain = 'b'
)

// Minter makes this server's tags and Via branches in keyed form, and recognises
// them. It is safe for concurrent use.
type Minter struct {
	macs  sync.Pool
	begun time.Time         // with its monotonic reading: nonces count from here
	run   [nonceRunLen]byte // tells the nonces of this process from those of others with its key
}

// keyedHash is an HMAC with room for its input and output, so that messages are
// recognised without allocation.
type keyedHash struct {
	hash.Hash
	in  []byte
	sum [sha256.Size]byte
}

// NewMinter returns a minter with the signalling key that the store keeps.
func NewMinter(key [32]byte) *Minter {
	m := &Minter{macs: sync.Pool{New: func() any { return &keyedHash{Hash: hmac.New(sha256.New, key[:])} }}, begun: time.Now()}
	rand.Read(m.run[:]) // never fails
	return m
}

// Minted is a minted value as it is sent: a nonce and its keyed hash in hexadecimal.
type Minted [mintedLen]byte

// Tag returns a fresh dialog tag (RFC 3261 section 19.3).
func (m *Minter) Tag() string { return m.fresh(tagDomain) }

func (m *Minter) fresh(domain byte) string {
	out := m.seal(domain, nonce())
	return string(out[:])
}

// TagFor returns the To tag of the INVITE with these values. It is the same each
// time, also if the request comes by another path (RFC 3261 section 8.2.2.2) or is
// answered without state (section 8.2.7).
func (m *Minter) TagFor(callID, fromTag, cseq string) string {
	out := m.TagBytes([]byte(callID), []byte(fromTag), []byte(cseq))
	return string(out[:])
}

// RequestTag is TagFor for a request that was parsed.
func (m *Minter) RequestTag(req *sip.Request) string {
	return m.TagFor(req.CallID().Value(), TagOf(req.From().Params), strconv.Itoa(int(req.CSeq().SeqNo)))
}

// TagBytes is TagFor without allocation.
func (m *Minter) TagBytes(callID, fromTag, cseq []byte) Minted {
	k := m.take()
	defer m.macs.Put(k)
	for _, part := range [...][]byte{callID, fromTag, cseq} {
		k.in = append(append(k.in, part...), 0)
	}
	return m.seal(tagDomain, [nonceLen]byte(k.digest()))
}

// Branch returns a fresh Via branch with RFC 3261's magic cookie.
func (m *Minter) Branch() string {
	return sip.RFC3261BranchMagicCookie + m.fresh(branchDomain)
}

// OwnsTag reports whether tag was made with this minter's key.
func (m *Minter) OwnsTag(tag []byte) bool { return m.minted(tagDomain, tag) }

// OwnsBranch reports whether branch was made with this minter's key.
func (m *Minter) OwnsBranch(branch []byte) bool {
	const cookie = len(sip.RFC3261BranchMagicCookie)
	return len(branch) == cookie+mintedLen && string(branch[:cookie]) == sip.RFC3261BranchMagicCookie &&
		m.minted(branchDomain, branch[cookie:])
}

func (m *Minter) seal(domain byte, nonce [nonceLen]byte) (out Minted) {
	mac := m.mac(domain, nonce[:])
	hex.Encode(out[:], nonce[:])
	hex.Encode(out[2*nonceLen:], mac[:macLen])
	return out
}

func (m *Minter) minted(domain byte, value []byte) bool {
	var raw [nonceLen + macLen]byte
	if len(value) != mintedLen {
		return false
	}
	if _, err := hex.Decode(raw[:], value); err != nil {
		return false
	}
	mac := m.mac(domain, raw[:nonceLen])
	return hmac.Equal(mac[:macLen], raw[nonceLen:])
}

// mac is the keyed hash of a value for one purpose, its domain.
func (m *Minter) mac(domain byte, value []byte) [sha256.Size]byte {
	k := m.take()
	defer m.macs.Put(k)
	k.in = append(append(k.in, domain), value...)
	return [sha256.Size]byte(k.digest())
}

func (m *Minter) take() *keyedHash {
	k, ok := m.macs.Get().(*keyedHash)
	if !ok {
		return nil // not possible: the pool makes nothing else
	}
	k.in = k.in[:0]
	return k
}

// digest returns the keyed hash of in, which is valid until the next one.
func (k *keyedHash) digest() []byte {
	k.Reset()
	k.Write(k.in)
	return k.Sum(k.sum[:0])
}

func nonce() (b [nonceLen]byte) {
	rand.Read(b[:]) // never fails: it ends the process instead
	return b
}
