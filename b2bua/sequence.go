package b2bua

import (
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"
)

// sequence puts the requests of a dialog back into the order that their peer
// sent them in (RFC 3261 section 12.2.1.1: CSeq grows by one). They change places
// on the way, and again here, where the library gives each a goroutine of its
// own; a leg would refuse the one that comes late. It belongs to a call's
// goroutine.
type sequence struct {
	next  uint32 // CSeq that is due; 0: not known, there was none
	held  []RequestIn
	until time.Time // when what is held goes on all the same
}

const (
	// sequencePatience is how long a request waits for one before it.
	sequencePatience = 40 * time.Millisecond
	// maxSequence bounds what waits.
	maxSequence = 32
)

// take gives the requests that are due now that this one has come. ACK has its
// INVITE's number. A BYE that is the first of all waits a little, too: for the
// request that it may have overtaken, or the answer to our INVITE.
func (s *sequence) take(now time.Time, in RequestIn) []RequestIn {
	n := in.Req.CSeq().SeqNo
	switch {
	case in.Req.Method == sip.ACK:
		return []RequestIn{in}
	case s.next == 0 && in.Req.Method != sip.BYE, n == s.next:
		s.next = n + 1
		return append([]RequestIn{in}, s.due()...)
	case s.next != 0 && n < s.next, len(s.held) >= maxSequence:
		return []RequestIn{in} // the leg's to judge
	}
	i, found := slices.BinarySearchFunc(s.held, n, func(h RequestIn, n uint32) int { return int(int64(h.Req.CSeq().SeqNo) - int64(n)) })
	if found {
		return []RequestIn{in}
	}
	s.held = slices.Insert(s.held, i, in)
	if s.until.IsZero() {
		s.until = now.Add(sequencePatience)
	}
	return nil
}

// due takes out what follows on.
func (s *sequence) due() (ready []RequestIn) {
	for len(s.held) > 0 && s.held[0].Req.CSeq().SeqNo <= s.next {
		s.next = max(s.next, s.held[0].Req.CSeq().SeqNo+1)
		ready = append(ready, s.held[0])
		s.held = s.held[1:]
	}
	if len(s.held) == 0 {
		s.held, s.until = nil, time.Time{}
	}
	return ready
}

// holds says whether the INVITE with this CSeq waits.
func (s *sequence) holds(seq uint32) bool {
	return slices.ContainsFunc(s.held, func(h RequestIn) bool { return h.Req.Method == sip.INVITE && h.Req.CSeq().SeqNo == seq })
}

// flush takes out all that is held: what it waited for does not come.
func (s *sequence) flush() []RequestIn {
	ready := s.held
	if len(ready) > 0 {
		s.next = ready[len(ready)-1].Req.CSeq().SeqNo + 1
	}
	s.held, s.until = nil, time.Time{}
	return ready
}
