package transaction

import (
	"hash/maphash"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// Key identifies a server transaction (RFC 3261 section 17.2.3) and its sender: a Via
// can be copied or guessed, and then one sender's request, ACK or CANCEL would count
// as another's.
type Key struct {
	via    [2]uint64 // a keyed hash: a part of the request would keep all of it in memory
	source netip.Addr
	stream bool              // it came over a connection
	method sip.RequestMethod // INVITE for an ACK
}

// The keys of Key.via.
var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()} //nolint:gochecknoglobals // constant

// KeyOf returns the key of a request that came from source, over a connection or a
// datagram. Without Via, From, Call-ID or CSeq it has none.
func KeyOf(req *sip.Request, source netip.Addr, stream bool) (key Key, ok bool) {
	key, ok = keyOf(req, source, stream)
	key.method = req.Method
	if key.method == sip.ACK {
		key.method = sip.INVITE
	}
	return key, ok
}

// keyOf returns the key of a request of the method in CSeq, or of the request of an answer, which has the headers that
// count.
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
		if !hasCookie(branch) { // RFC 2543: no two requests need have different branches
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

// twins returns the keys of an INVITE's CANCEL, or of a CANCEL's INVITE (section 9.2). It
// may come another way.
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

// clientKey identifies a client transaction (section 17.1.3). Its responses come as the
// request went (section 18.2.2).
type clientKey struct {
	branch string
	stream bool
	method sip.RequestMethod
}
