package media

// A killed process can't say which packet numbers it has used, and no number may be used twice under a key. So a state
// reserves numbers: packets sent after it have numbers below its bounds. The next process starts above them. Once a
// session has given a state, it asks for the next one with EventChanged when half of the numbers are used. It sends
// nothing beyond the bounds until that state is taken.
//
//	state taken            half used: EventChanged       bound
//	     |------------------------|------------------------|---> the next process
//
// A receiver takes the gap for lost packets. The gap is shorter than one that RFC 3550 §A.1 takes for a restart, and
// shorter than 2^15, the limit up to which the roll-over counter can be inferred.

const (
	// reservedRTP is 40 s of packets of 20 ms. Even with the losses in between it is below maxDropout.
	reservedRTP = 2048

	// reservedRTCP is hours of reports. RTCP packets carry their full number, so receivers do not mind a gap.
	reservedRTCP = 1 << 16

	// noteOpened limits how far, in bits, the numbers of received packets may advance before a state is too old: by a
	// quarter of the range in which the roll-over counter can be inferred.
	noteOpened = 13

	// resumptionsMost is how often a session with SRTP can be resumed. Each resumption has a separate range of numbers
	// for sources that were unknown before.
	resumptionsMost = 14
)

// reserve ensures that a sealer's numbers are used only once across several processes.
type reserve struct {
	kept    bool  // a state was taken, so packet numbers are reserved
	resumed uint8 // how often a process that did not know the used numbers resumed the session
	paused  bool  // the session was resumed, and no state has been taken since
	stale   bool  // a state is wanted
}

// allows reports whether a number may be used.
func (r *reserve) allows(index, bound, reserved uint64) bool {
	if !r.kept {
		return true
	}
	r.stale = r.stale || r.paused || index+reserved/2 > bound
	return !r.paused && index <= bound
}

// boundOf returns the bound of a source whose first number comes after the last state.
func (r *reserve) boundOf(first, reserved uint64) uint64 {
	r.stale = true
	return first + reserved - 1
}

// firstShift returns the number that is added to the packet numbers of a new source. The first number is below 2^15
// (RFC 4568 §6.4), so that a receiver that misses the first packets can't miss a roll-over of the counter.
//
// The killed process may have known the source although the state did not. That process used numbers from below 2^15
// upwards. The source now starts above the numbers that were reserved for it, in a range where each receiver still
// takes the counter for 0.
func (r *reserve) firstShift(seq uint16) uint16 {
	switch first := seq &^ (1 << 15); {
	case r.resumed > 0:
		return uint16(1<<15+int(r.resumed)*reservedRTP) - seq
	case r.kept && first < 2*reservedRTP:
		return first + 2*reservedRTP - seq
	default:
		return first - seq
	}
}

// firstIndex returns the number before the first RTCP packet of a new source.
func (r *reserve) firstIndex() uint32 { return uint32(r.resumed) * reservedRTCP }

// noted reserves further packet numbers, because a state is being taken.
func (s *sealer) noted() {
	s.kept, s.paused, s.stale = true, false, false
	for _, n := range s.streams {
		n.bound = n.top + reservedRTP
	}
	for ssrc := range s.reports {
		index, _ := s.ctx.Index(ssrc)
		s.reports[ssrc] = uint64(index) + reservedRTCP
	}
}
