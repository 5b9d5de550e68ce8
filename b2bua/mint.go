package b2bua

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/emiago/sipgo/sip"
)

// A minted value is a nonce and a keyed hash of it, so that a tag or branch
// that comes back can be told from a stranger's without any table: by the
// guard, before parsing, also after a restart.
const (
	nonceLen  = 8 // bytes
	macLen    = 6 // bytes: a guess is right once in 2^48
	mintedLen = 2 * (nonceLen + macLen)

	tagDomain    = 't'
	branchDomain = 'b'
)

// Minter makes the To and From tags and Via branches that we put on the wire,
// in keyed form, and recognises them. It is safe for concurrent use.
type Minter struct{ key [32]byte }

// NewMinter returns a minter with the signalling key that is kept with the
// store.
func NewMinter(key [32]byte) *Minter { return &Minter{key: key} }

// Tag returns a fresh dialog tag (RFC 3261 section 19.3).
func (m *Minter) Tag() string { return m.seal(tagDomain, nonce()) }

// TagFor returns the To tag of the INVITE with these values. It is the same
// each time, also when the request comes by another path (RFC 3261 section
// 8.2.2.2) or is answered without state (section 8.2.7).
func (m *Minter) TagFor(callID, fromTag, cseq string) string {
	h := hmac.New(sha256.New, m.key[:])
	for _, s := range []string{callID, fromTag, cseq} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	var sum [sha256.Size]byte
	return m.seal(tagDomain, h.Sum(sum[:0])[:nonceLen])
}

// Branch returns a fresh Via branch with RFC 3261's magic cookie.
func (m *Minter) Branch() string {
	return sip.RFC3261BranchMagicCookie + m.seal(branchDomain, nonce())
}

// MintedTag says whether tag is one of ours.
func (m *Minter) MintedTag(tag []byte) bool { return m.minted(tagDomain, tag) }

// MintedBranch says whether branch is one of ours.
func (m *Minter) MintedBranch(branch []byte) bool {
	const cookie = len(sip.RFC3261BranchMagicCookie)
	return len(branch) == cookie+mintedLen && string(branch[:cookie]) == sip.RFC3261BranchMagicCookie &&
		m.minted(branchDomain, branch[cookie:])
}

func (m *Minter) seal(domain byte, nonce []byte) string {
	mac := m.mac(domain, nonce)
	out := make([]byte, mintedLen)
	hex.Encode(out, nonce)
	hex.Encode(out[2*nonceLen:], mac[:macLen])
	return string(out)
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

func (m *Minter) mac(domain byte, nonce []byte) [sha256.Size]byte {
	h := hmac.New(sha256.New, m.key[:])
	h.Write([]byte{domain})
	h.Write(nonce)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}

func nonce() []byte {
	b := make([]byte, nonceLen)
	rand.Read(b) // never fails: it ends the process instead
	return b
}
