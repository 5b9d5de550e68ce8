package leg

import (
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Sequence puts the requests of a dialog back into the order of their CSeqs, which grow by one (RFC
// 3261 section 12.2.1.1). Requests may overtake each other on the network, and a leg would refuse a
// late one. A Sequence belongs to the call's goroutine.
type Sequence struct {
	Next  uint32 // the CSeq of the next request; 0 before the first one
	held  []RequestIn
	Until time.Time // when the held requests stop waiting for a missing one; zero if none is held
}

const (
	// sequencePatience is how long a request waits for an earlier request.
	sequencePatience = 40 * time.Millisecond
	// maxSequence bounds the waiting requests.
	maxSequence = 32
)

// Take reports whether the leg should handle a request now, and then the requests of Due.
// Otherwise it holds the request. An ACK is never held, because it has the CSeq of its INVITE. If
// the first request is a BYE, it is held for a while: it may have overtaken another request, or the
// answer to the leg's INVITE.
func (s *Sequence) Take(now time.Time, in RequestIn) (next bool) {
	n := in.Req.CSeq().SeqNo
	switch {
	case in.Req.Method == sip.ACK:
		return true
	case s.Next == 0 && in.Req.Method != sip.BYE, n == s.Next:
		s.Next = n + 1
		return true
	case s.Next != 0 && n < s.Next, len(s.held) >= maxSequence:
		return true // the leg decides whether it is a repeated or a wrong request
	}
	i, found := slices.BinarySearchFunc(s.held, n,
		func(h RequestIn, n uint32) int { return int(int64(h.Req.CSeq().SeqNo) - int64(n)) })
	if found {
		return true
	}
	s.held = slices.Insert(s.held, i, in)
	if s.Until.IsZero() {
		s.Until = now.Add(sequencePatience)
	}
	return false
}

// Due removes and returns the held requests that are next in order.
func (s *Sequence) Due() (ready []RequestIn) {
	for len(s.held) > 0 && s.held[0].Req.CSeq().SeqNo <= s.Next {
		s.Next = max(s.Next, s.held[0].Req.CSeq().SeqNo+1)
		ready = append(ready, s.held[0])
		s.held = s.held[1:]
	}
	if len(s.held) == 0 {
		s.held, s.Until = nil, time.Time{}
	}
	return ready
}

// Holds reports whether an INVITE with this CSeq is held.
func (s *Sequence) Holds(seq uint32) bool {
	return slices.ContainsFunc(s.held, func(h RequestIn) bool {
		return h.Req.Method == sip.INVITE && h.Req.CSeq().
			SeqNo == seq
	})
}

// Flush removes and returns all held requests, because the missing request does not come.
func (s *Sequence) Flush() []RequestIn {
	ready := s.held
	if len(ready) > 0 {
		s.Next = ready[len(ready)-1].Req.CSeq().SeqNo + 1
	}
	s.held, s.Until = nil, time.Time{}
	return ready
}
