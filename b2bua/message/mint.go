package message

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// A minted value is a nonce and a keyed hash of it. So a tag or branch that comes back is recognised without a table:
// before parsing, and even after a restart.
const (
	nonceLen  = 8 // bytes
	macLen    = 6 // bytes: one guess in 2^48 is right
	mintedLen = 2 * (nonceLen + macLen)

	tagDomain    = 't'
	branchDomain = 'b'
	trunkDomain  = 'r'
)

// Minter makes this server's tags and Via branches in keyed form, and recognises
// them. It is safe for concurrent use.
type Minter struct {
	macs  sync.Pool
	begun time.Time         // with a monotonic reading; the time in nonces counts from here
	run   [nonceRunLen]byte // distinguishes this process's nonces from those of others with the same key
}

// keyedHash is an HMAC with room for its input and output, so that messages are
// recognised without allocation.
type keyedHash struct {
	hash.Hash
	in  []byte
	sum [sha256.Size]byte
}

// NewMinter returns a minter with the signalling key from the store.
func NewMinter(key [32]byte) *Minter {
	m := &Minter{
		macs:  sync.Pool{New: func() any { return &keyedHash{Hash: hmac.New(sha256.New, key[:])} }},
		begun: time.Now(),
	}
	rand.Read(m.run[:]) // never fails
	return m
}

// Minted is a minted value as it is sent: a nonce and its keyed hash in hexadecimal.
type Minted [mintedLen]byte

// Tag returns a fresh dialog tag (RFC 3261 section 19.3).
func (m *Minter) Tag() string {
	out := m.seal(tagDomain, nonce(), nil)
	return string(out[:])
}

// Origin identifies an INVITE. It includes the sender and the branch, which no third party knows. A CANCEL has its
// INVITE's sender and branch (RFC 3261 section 9.1).
type Origin struct {
	CallID, FromTag, CSeq, Branch []byte // CSeq is only the number
	Source                        netip.Addr
}

// InviteTag returns the To tag of the INVITE with this origin, which is the tag of its
// dialog. It is the same each time, so that a retransmission finds its call. It
// allocates nothing.
func (m *Minter) InviteTag(o Origin) Minted { return m.tagOf(nil, o) }

// RefusalTag returns the To tag of an answer without state (RFC 3261 section 8.2.7). It
// is the same each time, and never the tag of a dialog. It allocates nothing.
func (m *Minter) RefusalTag(method []byte, o Origin) Minted { return m.tagOf(method, o) }

func (m *Minter) tagOf(purpose []byte, o Origin) Minted {
	k := m.take()
	for _, part := range [...][]byte{purpose, o.CallID, o.FromTag, o.CSeq, o.Branch} {
		k.in = append(append(k.in, part...), 0)
	}
	return m.tagFor(k, o.Source)
}

// TagOfInvite is InviteTag for an INVITE that was parsed, or its CANCEL.
func (m *Minter) TagOfInvite(req *sip.Request) Minted {
	k := m.take()
	k.in = append(k.in, 0) // no method
	k.in = append(append(k.in, req.CallID().Value()...), 0)
	k.in = append(append(k.in, TagOf(req.From().Params)...), 0)
	k.in = append(strconv.AppendUint(k.in, uint64(req.CSeq().SeqNo), 10), 0)
	k.in = append(append(k.in, BranchOf(req)...), 0)
	return m.tagFor(k, ParseSource(req.Source()).Addr())
}

// tagFor returns the tag for the input in k and for a sender. It returns k to the pool.
func (m *Minter) tagFor(k *keyedHash, from netip.Addr) Minted {
	defer m.macs.Put(k)
	source := from.Unmap().As16()
	k.in = append(k.in, source[:]...)
	return m.seal(tagDomain, [nonceLen]byte(k.digest()), nil)
}

// NewCallID returns a Call-ID that reveals nothing about this server except the time (RFC 3261 section 8.1.1.4). It
// starts with the time, so that an index of Call-IDs grows at its end. With random Call-IDs, each new call would
// write to a random page of the index of a million stored calls.
func NewCallID() string {
	const ofTime = 6
	var id [2 + 16]byte // 48 bits of time in milliseconds, after the 2 unused bytes, and 80 random bits
	var text [2 * (len(id) - 2)]byte
	binary.BigEndian.PutUint64(id[:], uint64(time.Now().UnixMilli())) //nolint:forbidigo // an order, not a time
	rand.Read(id[2+ofTime:])                                          // never fails: it ends the process instead
	return string(hex.AppendEncode(text[:0], id[2:]))
}

// TrunkToken returns the user of the Contact that we register for a trunk. It can't be guessed, and it stays the same
// after a restart.
func (m *Minter) TrunkToken(name string) string {
	mac := m.mac(trunkDomain, []byte(name))
	return hex.EncodeToString(mac[:nonceLen])
}

// Branch returns a fresh Via branch with RFC 3261's magic cookie, for a request from the
// leg with this tag.
func (m *Minter) Branch(tag string) string {
	out := m.seal(branchDomain, nonce(), []byte(tag))
	return sip.RFC3261BranchMagicCookie + string(out[:])
}

// OwnsTag reports whether tag was made with this minter's key.
func (m *Minter) OwnsTag(tag []byte) bool { return m.minted(tagDomain, tag, nil) }

// OwnsBranch reports whether branch was made with this minter's key, for a request with
// this From tag.
func (m *Minter) OwnsBranch(branch, fromTag []byte) bool {
	const cookie = len(sip.RFC3261BranchMagicCookie)
	return len(branch) == cookie+mintedLen && string(branch[:cookie]) == sip.RFC3261BranchMagicCookie &&
		m.minted(branchDomain, branch[cookie:], fromTag)
}

// seal computes the minted value of a nonce, for the leg with this tag, or for no leg if legTag is nil.
func (m *Minter) seal(domain byte, nonce [nonceLen]byte, legTag []byte) (out Minted) {
	mac := m.mac(domain, nonce[:], legTag)
	hex.Encode(out[:], nonce[:])
	hex.Encode(out[2*nonceLen:], mac[:macLen])
	return out
}

func (m *Minter) minted(domain byte, value, legTag []byte) bool {
	var raw [nonceLen + macLen]byte
	if len(value) != mintedLen {
		return false
	}
	if _, err := hex.Decode(raw[:], value); err != nil {
		return false
	}
	mac := m.mac(domain, raw[:nonceLen], legTag)
	return hmac.Equal(mac[:macLen], raw[nonceLen:])
}

// mac returns the keyed hash of values for one purpose, the domain. Except for the last
// one, the values of a domain have fixed lengths.
func (m *Minter) mac(domain byte, values ...[]byte) [sha256.Size]byte {
	k := m.take()
	defer m.macs.Put(k)
	k.in = append(k.in, domain)
	for _, v := range values {
		k.in = append(k.in, v...)
	}
	return [sha256.Size]byte(k.digest())
}

func (m *Minter) take() *keyedHash {
	k, ok := m.macs.Get().(*keyedHash)
	if !ok {
		return nil // can't happen: the pool makes nothing else
	}
	k.in = k.in[:0]
	return k
}

// digest returns the keyed hash of in. The result is valid until the next call.
func (k *keyedHash) digest() []byte {
	k.Reset()
	k.Write(k.in)
	return k.Sum(k.sum[:0])
}

func nonce() (b [nonceLen]byte) {
	rand.Read(b[:]) // never fails: it ends the process instead
	return b
}

// Looped reports whether a request has passed this server before: one of its Vias has the branch of a leg of ours
// with the request's From tag, and proxies keep Vias (RFC 3261 sections 16.3, item 4, and 16.6).
func (m *Minter) Looped(req *sip.Request) bool {
	return slices.ContainsFunc(req.Headers(), func(h sip.Header) bool {
		via, ok := h.(*sip.ViaHeader)
		if !ok {
			return false
		}
		branch, _ := via.Params.Get("branch")
		return m.OwnsBranch([]byte(branch), []byte(TagOf(req.From().Params)))
	})
}

// IsNew reports whether an INVITE arrived without a To tag, so that it only has the tag that transport has added.
func (m *Minter) IsNew(req *sip.Request) bool {
	tag := m.TagOfInvite(req)
	return TagOf(req.To().Params) == string(tag[:])
}
