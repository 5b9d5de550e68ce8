package media

import (
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/quality"
)

// RFC 3550 §A.1: a sequence number that is further ahead or behind means that the sender has restarted.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// maxTransitJump is the change in transit time, in seconds, above which it is not jitter. The sender has reset its
// timestamps if these have jumped as far.
const maxTransitJump = 2

// defaultClockRate is that of G.711, G.722, G.729 and their telephone-events, in Hz.
const defaultClockRate = 8000

// stream follows the RTP of one side: losses, duplicates, late packets, jitter. It is a value owned by the worker. A
// new SSRC or a new peer starts a new count; all counts but the jitter add up.
type stream struct {
	rate int64 // of the timestamps, Hz

	started   bool
	renewed   bool // the next packet is of another source, whatever its SSRC
	ssrc      uint32
	base      uint64 // first sequence number
	top       uint64 // highest one, extended by the cycles
	received  uint64 // numbers from base on that came, each once
	expect    uint16 // the number after one that jumped; two in a row are a restart
	jumped    bool
	losses    quality.Losses
	irregular bool // since uneven was called, something else came than the next packet

	lostPast, wrapsPast                uint64 // of earlier counts
	duplicates, reordered, ssrcChanges uint64 // of all

	missed   time.Duration // how long no process was there, until that is counted
	missedBy time.Duration // when the stream has come at the latest if it was there meanwhile
	sent     uint64        // packets since the state, and before the first one after it
	gap      time.Duration // what of missed was counted

	timed       bool
	timestamp   uint32
	timestampAt time.Duration // when the first packet with it came
	jitter      uint64        // in 1/16 of a timestamp unit (RFC 3550 §A.8), as the next two
	jitterMax   uint64
	jitterSum   uint64 // over timings packets
	timings     uint64
	delays      quality.Delays
}

// setRate changes the rate of the timestamps. What was measured stays the same time.
func (s *stream) setRate(rate uint32) {
	was := s.clock()
	s.rate = int64(rate)
	if is := s.clock(); is != was {
		for _, v := range []*uint64{&s.jitter, &s.jitterMax, &s.jitterSum, &s.delays.Behind} {
			*v = uint64(float64(*v) * float64(is) / float64(was))
		}
	}
}

// observe counts a packet. seen is how many more the process before has counted for itself.
func (s *stream) observe(h packet.Header, now time.Duration) (seen uint64) {
	if s.missed > 0 {
		seen = s.bridge(h, now)
	}
	if !s.started || s.renewed || h.SSRC != s.ssrc {
		if s.started && !s.renewed {
			s.ssrcChanges++
		}
		s.restart(h.Seq)
		s.ssrc, s.started, s.renewed, s.timed, s.jitter = h.SSRC, true, false, false, 0
	}
	twice := s.duplicates
	s.count(h.Seq)
	if s.duplicates == twice {
		s.time(h, now)
	}
	return seen
}

// bridge counts what was sent while no process was there as lost, and returns how many packets the process before has
// had since its state was taken, modulo 2^16. How long a packet lasts is known with the second one.
func (s *stream) bridge(h packet.Header, now time.Duration) (seen uint64) {
	ahead := h.Seq - uint16(s.top) // modulo 2^16 on purpose, as in count
	switch {
	case s.renewed && now > s.missedBy:
		s.missed = 0
	case s.renewed && s.started && h.SSRC == s.ssrc && ahead <= 65535-maxMisorder:
		s.sent = uint64(ahead)
	case s.renewed || ahead == 0 || ahead >= maxMisorder || h.Timestamp == s.timestamp:
	default:
		lost := min(uint64(units(s.missed, s.rate))*uint64(ahead)/uint64(h.Timestamp-s.timestamp),
			uint64(s.missed/shortestFrame))
		if s.sent > 0 { // else it is another stream
			lost = min(lost, s.sent-1)
			seen = s.sent - 1 - lost
		}
		if lost > 0 {
			s.lostPast, s.gap, s.irregular = s.lostPast+lost, s.gap+s.missed, true
			s.losses.Runs, s.losses.Longest = s.losses.Runs+1, max(s.losses.Longest, lost)
		}
		s.missed, s.sent = 0, 0
	}
	return seen
}

// renew says that later packets are from another source.
func (s *stream) renew() { s.renewed = true }

// uneven reports whether anything but the next packet in turn has come since its last call. Only then the counts of
// irregular packets and the wraps may have changed.
func (s *stream) uneven() bool {
	was := s.irregular
	s.irregular = false
	return was
}

// lost returns how many packets are missing so far. A duplicate does not replace another packet.
func (s *stream) lost() uint64 {
	if expected := s.top - s.base + 1; s.started && expected > s.received {
		return s.lostPast + expected - s.received
	}
	return s.lostPast
}

func (s *stream) wraps() uint64 { return s.wrapsPast + s.top>>16 }

// jitterMS, jitterMaxMS and jitterMeanMS are in milliseconds.
func (s *stream) jitterMS() float64    { return s.milliseconds(s.jitter) }
func (s *stream) jitterMaxMS() float64 { return s.milliseconds(s.jitterMax) }

func (s *stream) jitterMeanMS() float64 {
	return s.milliseconds(s.jitterSum) / float64(max(s.timings, 1))
}

func (s *stream) milliseconds(sixteenths uint64) float64 {
	return float64(sixteenths) / 16 * 1000 / float64(s.clock())
}

func (s *stream) restart(seq uint16) {
	s.lostPast, s.wrapsPast = s.lost(), s.wraps()
	s.base, s.top = uint64(seq), uint64(seq)
	s.received, s.jumped, s.irregular = 0, false, true
	if s.started {
		s.losses.Finish()
	}
	s.losses.Begin()
}

func (s *stream) count(seq uint16) {
	ahead := seq - uint16(s.top) // modulo 2^16 on purpose
	switch {
	case ahead < maxDropout:
		s.advance(uint64(ahead))
	case ahead > 65535-maxMisorder:
		s.late(uint64(-ahead))
		return
	default:
		if !s.jumped || seq != s.expect {
			s.jumped, s.expect = true, seq+1
			return
		}
		s.restart(seq)
	}
	s.jumped = false
	s.mark(0)
}

func (s *stream) advance(by uint64) {
	if by == 0 {
		return
	}
	s.irregular = s.irregular || by > 1 || (s.top+by)>>16 != s.top>>16
	s.top += by
	s.losses.Advance(by)
}

// late counts a number below the highest one. A number below the first one was sent before the count began.
func (s *stream) late(by uint64) {
	s.jumped, s.irregular = false, true
	if by > s.top-s.base || s.mark(by) {
		s.reordered++
	}
}

// mark notes a number and reports whether it came for the first time.
func (s *stream) mark(behind uint64) (first bool) {
	if first = s.losses.Mark(behind); first {
		s.received++
	} else {
		s.duplicates++
		s.irregular = true
	}
	return first
}

// time updates the jitter and the delays. All packets of one telephone-event carry the timestamp of its start (RFC 4733
// §2.2), also where audio is sent beside them. So a timestamp that repeats says nothing, and an earlier one only if the
// packet was sent earlier.
func (s *stream) time(h packet.Header, now time.Duration) {
	jump, step := maxTransitJump*s.clock(), int64(int32(h.Timestamp-s.timestamp)) // modulo 2^32 on purpose
	if s.timed && (step == 0 || step < 0 && step >= -jump && h.Seq == uint16(s.top)) {
		return
	}
	known, passed := s.timed, now-s.timestampAt
	d := int64(int32(units(passed, s.rate) - uint32(step)))
	s.timed, s.timestamp, s.timestampAt = true, h.Timestamp, now
	far := max(d, -d) > jump
	if !known || far && max(step, -step) > jump {
		s.delays.Begin()
		return
	}
	s.irregular = s.delays.Add(d, passed, s.clock()) || s.irregular
	if far { // the sender paused, or the network held its packets back
		return
	}
	d = max(d, -d)
	s.jitter += uint64(d) - (s.jitter+8)>>4 // d is not negative
	s.timings++
	s.jitterSum += s.jitter
	s.jitterMax = max(s.jitterMax, s.jitter)
}

func (s *stream) clock() int64 {
	if s.rate == 0 {
		return defaultClockRate
	}
	return s.rate
}

// units is d in units of a clock rate in Hz, rounded down and modulo 2^32. 0 Hz means 8000.
func units(d time.Duration, rate int64) uint32 {
	if rate == 0 {
		rate = defaultClockRate
	}
	return uint32(d.Microseconds() * rate / 1e6)
}

// span is the duration of n units of a clock. 0 Hz means 8000.
func span(n uint64, rate uint32) time.Duration {
	if rate == 0 {
		rate = defaultClockRate
	}
	return time.Duration(n * uint64(time.Second) / uint64(rate)) // 18 hours at the least fit
}
