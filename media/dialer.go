package media

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"
)

// Errors of Session.SendDigit, beside ErrClosed.
var (
	// ErrDigit: there is no such digit, payload type or clock rate.
	ErrDigit = errors.New("not a digit that can be sent")

	// ErrDigitsWait: as many digits wait to be sent as may.
	ErrDigitsWait = errors.New("too many digits wait")

	// ErrNoDestination: the side is held, or its address is not known or of
	// another IP version.
	ErrNoDestination = errors.New("no destination for a digit")
)

const (
	digitDefault               = 100 * time.Millisecond
	digitShortest              = 40 * time.Millisecond
	digitLongest               = 5 * time.Second
	digitUnits                 = 65535        // the longest that one event can say, without segments
	digitRateMin, digitRateMax = 1000, 192000 // clock rates, Hz

	digitVolume   = 10                    // -10 dBm0, usual and well in what is detected
	digitInterval = 20 * time.Millisecond // between packets, of the end too (RFC 4733 §2.5.1.4)
	digitEnds     = 3                     // how often the end is sent (RFC 4733 §2.5.1.4)
	digitGap      = 40 * time.Millisecond // from the last end to the next digit
	digitsWaiting = 32

	// digitFrame is how long the packet before a digit is taken to last.
	digitFrame = 20 * time.Millisecond

	// overtaken is for how long after a digit relayed packets from before its
	// end are looked out for.
	overtaken = time.Second
)

// Digit is a key that is pressed towards a side, as a telephone-event
// (RFC 4733).
type Digit struct {
	Digit byte // 0 to 9, *, #, A to D

	// Duration is how long it is pressed: 40 ms to 5 s, what is beyond is
	// clamped, and 0 means 100 ms. Of clocks above 13107 Hz it is less than 5 s:
	// 65535 units.
	Duration time.Duration

	PayloadType uint8  // of telephone-event as the side wants it, 0 to 127
	ClockRate   uint32 // of it, in Hz, 1000 to 192000; 0 means 8000
}

// tone is a Digit that was checked.
type tone struct {
	code, payloadType uint8
	rate              int64         // Hz
	duration          time.Duration // digitUnits at most
}

func (d Digit) tone() (tone, error) {
	code, ok := digitCode(d.Digit)
	if d.ClockRate == 0 {
		d.ClockRate = defaultClockRate
	}
	if !ok || d.PayloadType > 127 || d.ClockRate < digitRateMin || d.ClockRate > digitRateMax {
		return tone{}, ErrDigit
	}
	if d.Duration == 0 {
		d.Duration = digitDefault
	}
	longest := min(digitLongest, span(digitUnits, d.ClockRate))
	return tone{
		code: code, payloadType: d.PayloadType, rate: int64(d.ClockRate),
		duration: min(max(d.Duration, digitShortest), longest),
	}, nil
}

// dialer puts digits into the stream that is relayed to a side. It is a value
// without clock or I/O, owned by the worker.
//
//	            +--------- a gap later, another waits ---------+
//	            v                                              |
//	idle --> dialing: 20 ms, 20 ms ... end, end, end --> relaying --> idle
//
// While it dials, nothing is relayed: the receiver gets speech or the digit
// (RFC 4733 §2.5.1.2), under one SSRC, with numbers that follow each other.
// What is relayed later is shifted by as many numbers as the digit took more
// than the packets whose place it took.
//
// Where nothing has been relayed yet, the digit begins a stream of its own, and
// what is relayed later is made to follow on under its SSRC. Receivers play what
// they have locked on; a second source beside a first that is a moment old is
// what some drop, or mix, or take for a collision. It lasts until the relayed
// stream changes its SSRC: that is a new source for the receiver as well.
type dialer struct {
	waiting [digitsWaiting]tone // a ring
	first   int
	count   int

	next    time.Duration // when to call the dialer again
	dialing bool
	tone    tone
	started time.Duration
	sent    int // packets of it
	ends    int // of these

	// Of the digit's packets, as the last one was sent.
	ssrc, timestamp uint32
	seq             uint16

	own   bool    // nothing was relayed: the stream is the dialer's
	shift Rewrite // of what is relayed, on top of the owner's

	// The relayed stream as it was when the last digit was over.
	source  uint32        // its SSRC, before any rewriting
	edge    uint16        // its highest sequence number: what is not above came late
	lateTil time.Duration // when that is forgotten
}

// add has a digit wait for its turn.
func (d *dialer) add(t tone, now time.Duration) bool {
	if d.count == digitsWaiting {
		return false
	}
	d.waiting[(d.first+d.count)%digitsWaiting] = t
	d.count++
	if d.next == never {
		d.next = now
	}
	return true
}

// begin starts the digit that has waited longest. s is the stream that is being
// relayed, and rewrite what its owner has done to it.
func (d *dialer) begin(s *stream, rewrite Rewrite, now time.Duration) {
	d.meet(s.ssrc)
	through := rewrite.plus(d.shift)
	d.tone = d.waiting[d.first]
	d.first, d.count = (d.first+1)%digitsWaiting, d.count-1
	switch {
	case d.own:
		d.timestamp += units(now-d.started, s.rate)
	case s.started:
		d.ssrc, d.source = s.ssrc, s.ssrc
		d.seq = uint16(s.top) + through.SeqOffset
		d.timestamp = s.moment(now, digitFrame) + through.TimeOffset
	default:
		d.own = true
		d.ssrc, d.seq, d.timestamp = max(rand.Uint32(), 1), uint16(rand.Uint32()), rand.Uint32()
	}
	if through.SSRC != 0 {
		d.ssrc = through.SSRC
	}
	d.dialing, d.started, d.sent, d.ends = true, now, 0, 0
}

// digitPacket is an RTP packet with a telephone-event.
type digitPacket [rtpHeaderLen + telephoneEventLen]byte

// write writes the packet that is due, and says whether the digit is over with
// it. If the worker was late, the packets that were due meanwhile are left out.
func (d *dialer) write(pkt *digitPacket, now time.Duration) (over bool) {
	e := telephoneEvent{code: d.tone.code, volume: digitVolume}
	reached := d.tone.duration
	if elapsed := now - d.started; elapsed < reached {
		reached = min(elapsed.Truncate(digitInterval)+digitInterval, reached)
		d.next = d.started + reached
	} else {
		e.end = true
		d.ends++
		d.next = now + digitInterval
	}
	e.duration = uint16(units(reached, d.tone.rate)) // at most digitUnits
	d.seq++
	*pkt = digitPacket{0x80, d.tone.payloadType}
	if d.sent == 0 {
		pkt[1] |= 0x80 // RFC 4733 §2.2.2
	}
	binary.BigEndian.PutUint16(pkt[2:], d.seq)
	binary.BigEndian.PutUint32(pkt[4:], d.timestamp)
	binary.BigEndian.PutUint32(pkt[8:], d.ssrc)
	e.put(pkt[rtpHeaderLen:])
	d.sent++
	return d.ends == digitEnds
}

// stop has the stream relayed again, behind the numbers that were used. The
// shift is another then.
func (d *dialer) stop(s *stream, rewrite Rewrite, now time.Duration) {
	d.dialing, d.next = false, now+digitGap
	if d.own {
		return
	}
	d.meet(s.ssrc)
	d.shift.SeqOffset = d.seq - uint16(s.top) - rewrite.SeqOffset
	d.source, d.edge, d.lateTil = s.ssrc, uint16(s.top), now+overtaken
}

// drop gives up what is being sent and what waits.
func (d *dialer) drop(s *stream, rewrite Rewrite, now time.Duration) {
	d.first, d.count = 0, 0
	if d.dialing {
		d.stop(s, rewrite, now)
	}
}

// meet forgets the stream that was made to follow on, when another is there. The
// new source has an SSRC of its own.
func (d *dialer) meet(ssrc uint32) (another bool) {
	another = d.shift.SSRC != 0 && ssrc != d.source
	if another {
		d.shift = Rewrite{}
	}
	return another
}

// pass says whether a packet may be relayed now, and whether the shift is
// another from this packet on.
func (d *dialer) pass(h rtpHeader, rate int64, rewrite Rewrite, now time.Duration) (relay, shifted bool) {
	switch {
	case d.dialing:
		return false, false
	case d.own:
		d.own = false
		d.shift = Rewrite{
			SSRC:       d.ssrc,
			SeqOffset:  d.seq + 1 - h.seq - rewrite.SeqOffset,
			TimeOffset: d.timestamp + units(now-d.started, rate) - h.timestamp - rewrite.TimeOffset,
		}
		d.source, d.edge, d.lateTil = h.ssrc, h.seq-1, now+overtaken
		return true, true
	case d.meet(h.ssrc):
		return true, true
	}
	late := now < d.lateTil && h.ssrc == d.source && d.edge-h.seq < maxMisorder
	return !late, false
}
