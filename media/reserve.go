package media

// A process that is killed can't say which packet numbers it has used, and none may be used twice under a key. So a
// state reserves numbers: what is sent after it has numbers below its bounds. The next process begins above them. A
// session that has given a state once asks for the next one, by EventChanged, when half of the numbers are used, and
// sends nothing beyond the bounds before it is taken.
//
//	state taken            half used: EventChanged       bound
//	     |------------------------|------------------------|---> the next process
//
// A receiver takes the gap for lost packets: it is shorter than what RFC 3550 §A.1 takes for a restart, and than the
// half of 2^16 that a roll-over counter is told by.

const (
	// reservedRTP is 40 s of packets of 20 ms. With what is lost meanwhile it is below maxDropout.
	reservedRTP = 2048

	// reservedRTCP is hours of reports. Their numbers are written in them, so a receiver minds no gap.
	reservedRTCP = 1 << 16

	// noteOpened is how far, in bits, the numbers of received packets go before a state is too old: a quarter of what the
	// roll-over counter can be told by.
	noteOpened = 13

	// resumptionsMost is how often a session with SRTP can be resumed. Each time has numbers of its own for sources that
	// were unknown.
	resumptionsMost = 14
)

// reserve is what of a sealer ensures that numbers are used once in the life of several processes.
type reserve struct {
	kept    bool  // a state was taken: numbers are reserved
	resumed uint8 // how often, by a process that did not know the numbers
	paused  bool  // resumed, and no state was taken since
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

// boundOf is the bound of a source that begins with a number after the last state.
func (r *reserve) boundOf(first, reserved uint64) uint64 {
	r.stale = true
	return first + reserved - 1
}

// firstShift is what is added to the numbers of a new source. RFC 4568 §6.4: the first number is below 2^15, so that a
// receiver that misses the first packets can't miss that the counter rolls over.
//
// A source that the killed process knew, and the state not, had numbers from below 2^15 on. Now it begins above those
// that were reserved for it, and where each receiver takes the counter for 0.
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

// firstIndex is the number before the first of RTCP of a new source.
func (r *reserve) firstIndex() uint32 { return uint32(r.resumed) * reservedRTCP }

// noted takes a state of the numbers that were used.
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
