package leg

import (
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Sequence puts the requests of a dialog back into the order that their peer
// sent them in (RFC 3261 section 12.2.1.1: CSeq grows by one). They change places
// on the way, and again here, where the library gives each a goroutine of its
// own; a leg would refuse the one that comes late. It belongs to a call's
// goroutine.
type Sequence struct {
	Next  uint32 // CSeq that is due; 0: not known, there was none
	Held  []RequestIn
	Until time.Time // when what is held goes on all the same
}

const (
	// SequencePatience is how long a request waits for one before it.
	SequencePatience = 40 * time.Millisecond
	// maxSequence bounds what waits.
	maxSequence = 32
)

// Take gives the requests that are due now that this one has come. ACK has its
// INVITE's number. A BYE that is the first of all waits a little, too: for the
// request that it may have overtaken, or the answer to our INVITE.
func (s *Sequence) Take(now time.Time, in RequestIn) []RequestIn {
	n := in.Req.CSeq().SeqNo
	switch {
	case in.Req.Method == sip.ACK:
		return []RequestIn{in}
	case s.Next == 0 && in.Req.Method != sip.BYE, n == s.Next:
		s.Next = n + 1
		return append([]RequestIn{in}, s.due()...)
	case s.Next != 0 && n < s.Next, len(s.Held) >= maxSequence:
		return []RequestIn{in} // the leg's to judge
	}
	i, found := slices.BinarySearchFunc(s.Held, n, func(h RequestIn, n uint32) int { return int(int64(h.Req.CSeq().SeqNo) - int64(n)) })
	if found {
		return []RequestIn{in}
	}
	s.Held = slices.Insert(s.Held, i, in)
	if s.Until.IsZero() {
		s.Until = now.Add(SequencePatience)
	}
	return nil
}

// due takes out what follows on.
func (s *Sequence) due() (ready []RequestIn) {
	for len(s.Held) > 0 && s.Held[0].Req.CSeq().SeqNo <= s.Next {
		s.Next = max(s.Next, s.Held[0].Req.CSeq().SeqNo+1)
		ready = append(ready, s.Held[0])
		s.Held = s.Held[1:]
	}
	if len(s.Held) == 0 {
		s.Held, s.Until = nil, time.Time{}
	}
	return ready
}

// Holds says whether the INVITE with this CSeq waits.
func (s *Sequence) Holds(seq uint32) bool {
	return slices.ContainsFunc(s.Held, func(h RequestIn) bool { return h.Req.Method == sip.INVITE && h.Req.CSeq().SeqNo == seq })
}

// Flush takes out all that is held: what it waited for does not come.
func (s *Sequence) Flush() []RequestIn {
	ready := s.Held
	if len(ready) > 0 {
		s.Next = ready[len(ready)-1].Req.CSeq().SeqNo + 1
	}
	s.Held, s.Until = nil, time.Time{}
	return ready
}
