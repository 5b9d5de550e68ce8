package transaction

import (
	"hash/maphash"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// Key identifies a server transaction (RFC 3261 section 17.2.3), including its sender. Vias can be copied or guessed:
// without the sender, the request, ACK or CANCEL of one sender could count as another's.
type Key struct {
	via    [2]uint64 // keyed hashes of the headers; substrings would keep the whole request in memory
	source netip.Addr
	stream bool              // the request came over a connection
	method sip.RequestMethod // INVITE for an ACK
}

// The keys of Key.via.
var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()} //nolint:gochecknoglobals // constant

// KeyOf returns the key of a request that came from source, over a connection or a
// datagram. ok is false if Via, From, Call-ID or CSeq is missing.
func KeyOf(req *sip.Request, source netip.Addr, stream bool) (key Key, ok bool) {
	key, ok = keyOf(req, source, stream)
	key.method = req.Method
	if key.method == sip.ACK {
		key.method = sip.INVITE
	}
	return key, ok
}

// keyOf returns the key of the request that msg is or answers. An answer has the headers that count, and CSeq has the
// request's method.
func keyOf(msg interface {
	sip.Message
	Via() *sip.ViaHeader
	From() *sip.FromHeader
	CallID() *sip.CallIDHeader
	CSeq() *sip.CSeqHeader
}, source netip.Addr, stream bool,
) (key Key, ok bool) {
	via, from, id, cseq := msg.Via(), msg.From(), msg.CallID(), msg.CSeq()
	if via == nil || from == nil || id == nil || cseq == nil {
		return key, false
	}
	key = Key{source: source, stream: stream, method: cseq.MethodName}
	port := uint16(via.Port)
	if port == 0 {
		port = message.DefaultPort(strings.ToLower(via.Transport))
	}
	branch, host := message.BranchOf(msg), strings.ToLower(via.Host)
	for i, seed := range seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_, _ = h.WriteString(branch)
		if !hasCookie(branch) { // RFC 2543: branches need not be unique
			_, _ = h.WriteString(" ")
			_, _ = h.WriteString(message.TagOf(from.Params))
			_, _ = h.WriteString(" ")
			_, _ = h.WriteString(id.Value())
			maphash.WriteComparable(&h, cseq.SeqNo)
		}
		_, _ = h.WriteString(" ")
		_, _ = h.WriteString(host)
		maphash.WriteComparable(&h, port)
		key.via[i] = h.Sum64()
	}
	return key, true
}

func hasCookie(branch string) bool {
	return strings.HasPrefix(branch, sip.RFC3261BranchMagicCookie) && len(branch) > len(sip.RFC3261BranchMagicCookie)
}

// twins returns the possible keys of an INVITE's CANCEL, or of a CANCEL's INVITE (section 9.2). The two may have come
// by different ways.
func (k Key) twins() [2]Key {
	if k.method == sip.INVITE {
		k.method = sip.CANCEL
	} else {
		k.method = sip.INVITE
	}
	other := k
	other.stream = !k.stream
	return [2]Key{k, other}
}

// clientKey identifies a client transaction (section 17.1.3). Its responses come the way
// that the request went (section 18.2.2).
type clientKey struct {
	branch string
	stream bool
	method sip.RequestMethod
}
