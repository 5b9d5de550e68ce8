package stream

import (
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/quality"
)

// RFC 3550 §A.1: a sequence number further ahead or behind than this means that the sender has restarted.
const (
	maxDropout  = 3000
	MaxMisorder = 100
)

// maxTransitJump is the change in transit time, in seconds, above which it does not count as jitter. If the timestamps
// have jumped as far, the sender has reset them.
const maxTransitJump = 2

// Stream tracks the RTP of one side: losses, duplicates, late packets, jitter. It is a value owned by the worker. A new
// SSRC or a new peer starts a new count. All counts add up, except the jitter.
type Stream struct {
	Rate int64 // rate of the timestamps, in Hz

	started   bool
	renewed   bool // the next packet is from another source, whatever its SSRC is
	ssrc      uint32
	base      uint64 // first sequence number
	top       uint64 // highest sequence number, extended by the cycles
	received  uint64 // distinct numbers received from base on
	expect    uint16 // the number after a packet whose number jumped; two such packets in a row mean a restart
	jumped    bool
	losses    quality.Losses
	irregular bool // a packet other than the next in sequence has come since Figures was called

	lostPast, wrapsPast                uint64 // totals of earlier counts
	duplicates, reordered, ssrcChanges uint64 // totals of all counts

	missed   time.Duration // how long no process was running; 0 once that has been counted
	MissedBy time.Duration // a stream that existed in that time sends a packet by then
	sent     uint64        // packets sent from the state to the first packet after it
	gap      time.Duration // the part of missed that was counted

	timed       bool
	timestamp   uint32
	timestampAt time.Duration // when the first packet with it came
	jitter      uint64        // in 1/16 of a timestamp unit (RFC 3550 §A.8), as are jitterMax and jitterSum
	jitterMax   uint64
	jitterSum   uint64 // over timings packets
	timings     uint64
	delays      quality.Delays
}

// SetRate changes the rate of the timestamps. Measured values keep their duration.
func (s *Stream) SetRate(rate uint32) {
	was := s.Clock()
	s.Rate = int64(rate)
	if is := s.Clock(); is != was {
		for _, v := range []*uint64{&s.jitter, &s.jitterMax, &s.jitterSum, &s.delays.Behind} {
			*v = uint64(float64(*v) * float64(is) / float64(was))
		}
	}
}

// Observe counts a packet. seen is how many additional packets the old process has counted.
func (s *Stream) Observe(h packet.Header, now time.Duration) (seen uint64) {
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

// bridge counts packets sent while no process was running as lost, and returns how many packets the old process
// received after its state was taken, modulo 2^16. The second packet shows how long a packet lasts.
func (s *Stream) bridge(h packet.Header, now time.Duration) (seen uint64) {
	ahead := h.Seq - uint16(s.top) // modulo 2^16 on purpose, as in count
	switch {
	case s.renewed && now > s.MissedBy:
		s.missed = 0
	case s.renewed && s.started && h.SSRC == s.ssrc && ahead <= 65535-MaxMisorder:
		s.sent = uint64(ahead)
	case s.renewed || ahead == 0 || ahead >= MaxMisorder || h.Timestamp == s.timestamp:
	default:
		lost := min(uint64(Units(s.missed, s.Rate))*uint64(ahead)/uint64(h.Timestamp-s.timestamp),
			uint64(s.missed/ShortestFrame))
		if s.sent > 0 { // otherwise the packet belongs to another stream
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

// Renew says that later packets are from another source.
func (s *Stream) Renew() { s.renewed = true }

// Lost returns how many packets are missing so far. A duplicate does not make up for a missing packet.
func (s *Stream) Lost() uint64 {
	if expected := s.top - s.base + 1; s.started && expected > s.received {
		return s.lostPast + expected - s.received
	}
	return s.lostPast
}

func (s *Stream) wraps() uint64 { return s.wrapsPast + s.top>>16 }

// Jitter returns the current interarrival jitter, its mean and its maximum, in milliseconds.
func (s *Stream) Jitter() (is, mean, highest float64) {
	return s.milliseconds(s.jitter), s.milliseconds(s.jitterSum) / float64(max(s.timings, 1)), s.milliseconds(s.jitterMax)
}

func (s *Stream) milliseconds(sixteenths uint64) float64 {
	return float64(sixteenths) / 16 * 1000 / float64(s.Clock())
}

func (s *Stream) restart(seq uint16) {
	s.lostPast, s.wrapsPast = s.Lost(), s.wraps()
	s.base, s.top = uint64(seq), uint64(seq)
	s.received, s.jumped, s.irregular = 0, false, true
	if s.started {
		s.losses.Finish()
	}
	s.losses.Begin()
}

func (s *Stream) count(seq uint16) {
	ahead := seq - uint16(s.top) // modulo 2^16 on purpose
	switch {
	case ahead < maxDropout:
		s.advance(uint64(ahead))
	case ahead > 65535-MaxMisorder:
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

func (s *Stream) advance(by uint64) {
	if by == 0 {
		return
	}
	s.irregular = s.irregular || by > 1 || (s.top+by)>>16 != s.top>>16
	s.top += by
	s.losses.Advance(by)
}

// late counts a number that is by below the highest one. A number below the first one was sent before the count
// started.
func (s *Stream) late(by uint64) {
	s.jumped, s.irregular = false, true
	if by > s.top-s.base || s.mark(by) {
		s.reordered++
	}
}

// mark records the number that is below the highest one by behind, and reports whether it came for the first time.
func (s *Stream) mark(behind uint64) (first bool) {
	first = s.losses.Mark(behind)
	if first {
		s.received++
	} else {
		s.duplicates++
		s.irregular = true
	}
	return first
}

// time updates the jitter and the delays. All packets of one telephone-event carry the timestamp of its start (RFC 4733
// §2.2), even if audio is sent between them. So a repeated timestamp tells nothing about the delay, and an earlier one
// does so only if the packet was sent earlier.
func (s *Stream) time(h packet.Header, now time.Duration) {
	jump, step := maxTransitJump*s.Clock(), int64(int32(h.Timestamp-s.timestamp)) // modulo 2^32 on purpose
	if s.timed && (step == 0 || step < 0 && step >= -jump && h.Seq == uint16(s.top)) {
		return
	}
	known, passed := s.timed, now-s.timestampAt
	d := int64(int32(Units(passed, s.Rate) - uint32(step)))
	s.timed, s.timestamp, s.timestampAt = true, h.Timestamp, now
	far := max(d, -d) > jump
	if !known || far && max(step, -step) > jump {
		s.delays.Begin()
		return
	}
	s.irregular = s.delays.Add(d, passed, s.Clock()) || s.irregular
	if far { // the sender paused, or the network held its packets back
		return
	}
	d = max(d, -d)
	s.jitter += uint64(d) - (s.jitter+8)>>4 // d is not negative
	s.timings++
	s.jitterSum += s.jitter
	s.jitterMax = max(s.jitterMax, s.jitter)
}

// Due returns when a packet was to come, by the packets before it. It reports false if they don't tell.
func (s *Stream) Due(h packet.Header) (at time.Duration, ok bool) {
	step := int64(int32(h.Timestamp - s.timestamp)) // modulo 2^32 on purpose
	if !s.timed || s.renewed || h.SSRC != s.ssrc || max(step, -step) > maxTransitJump*s.Clock() {
		return 0, false
	}
	return s.timestampAt + time.Duration(step)*time.Second/time.Duration(s.Clock()), true
}

// Clock returns the rate of the timestamps in Hz.
func (s *Stream) Clock() int64 {
	if s.Rate == 0 {
		return DefaultRate
	}
	return s.Rate
}

// SSRC returns the SSRC of the last counted packet.
func (s *Stream) SSRC() uint32 { return s.ssrc }

// Steady reports whether the stream continues as known.
func (s *Stream) Steady() bool { return s.started && !s.renewed && s.missed == 0 }

// Moves records that the side now sends with another SSRC from the same address.
func (s *Stream) Moves(ssrc uint32) {
	if ssrc != s.ssrc {
		s.ssrcChanges++
	}
}

// Miss says how long no process was running. A stream that existed in that time sends its next packet by the time by.
func (s *Stream) Miss(missed, by time.Duration) { s.missed, s.MissedBy = missed, by }

// Adopt records that another process or the kernel has tracked the stream.
func (s *Stream) Adopt(ssrc uint32) { s.started, s.ssrc, s.renewed, s.missed = true, ssrc, false, 0 }

// Figures holds the figures of a stream that do not change with each packet.
type Figures struct {
	Lost, Bursts, LongestBurst uint64
	Late, LateBursts           uint64
	Duplicates, Reordered      uint64
	Wraps, SSRCChanges         uint64
	Gap                        time.Duration
}

// Figures returns the figures. It reports changed as false if only the next packets in sequence have come since the
// last call.
func (s *Stream) Figures() (f Figures, changed bool) {
	if !s.irregular {
		return f, false
	}
	s.irregular = false
	runs, longest := s.losses.Bursts()
	return Figures{
		Lost: s.Lost(), Bursts: runs, LongestBurst: longest, Late: s.delays.Late, LateBursts: s.delays.Bursts,
		Duplicates: s.duplicates, Reordered: s.reordered, Wraps: s.wraps(), SSRCChanges: s.ssrcChanges, Gap: s.gap,
	}, true
}
