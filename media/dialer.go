package media

import (
	"cmp"
	"errors"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// Errors of Session.SendDigit; errClosed is another one.
var (
	// errDigit: the digit, payload type or clock rate is invalid.
	errDigit = errors.New("not a digit that can be sent")

	errDigitsWait = errors.New("too many digits wait")

	// errNoDestination: the side is held, or its address is unknown or of another IP version.
	errNoDestination = errors.New("no destination for a digit")
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
)

// Digit is a key press towards a side, as a telephone-event (RFC 4733).
type Digit struct {
	Digit byte // 0 to 9, *, #, A to D

	// Duration is the length of the press, clamped to 40 ms to 5 s; 0 means 100 ms. Clocks above 13107 Hz allow less
	// than 5 s: 65535 units.
	Duration time.Duration

	PayloadType uint8  // of telephone-event as the side wants it, 0 to 127
	ClockRate   uint32 // of it, in Hz, 1000 to 192000; 0 means 8000
}

// tone is a valid Digit.
type tone struct {
	code, payloadType uint8
	rate              int64         // Hz
	duration          time.Duration // digitUnits at most
}

func (d Digit) tone() (tone, error) {
	code, ok := packet.DigitCode(d.Digit)
	d.ClockRate = cmp.Or(d.ClockRate, stream.DefaultRate)
	if !ok || d.PayloadType > 127 || d.ClockRate < digitRateMin || d.ClockRate > digitRateMax {
		return tone{}, errDigit
	}
	d.Duration = cmp.Or(d.Duration, digitDefault)
	longest := min(digitLongest, stream.Span(digitUnits, d.ClockRate))
	return tone{
		code: code, payloadType: d.PayloadType, rate: int64(d.ClockRate),
		duration: min(max(d.Duration, digitShortest), longest),
	}, nil
}

// dialer puts digits into the stream that is relayed to a side. It is a value without clock or I/O, owned by the
// worker.
//
//	            +--------- a gap later, another waits ---------+
//	            v                                              |
//	idle --> dialing: 20 ms, 20 ms ... end, end, end --> relaying --> idle
//
// While it dials, nothing is relayed: the receiver gets speech or the digit (RFC 4733 §2.5.1.2). The relayed stream
// follows on, see outlet.
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

	timestamp uint32 // of all packets of the digit
}

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

// begin starts the digit that has waited longest. s is the relayed stream.
func (d *dialer) begin(o *stream.Outlet, s *stream.Stream, now time.Duration) {
	d.tone = d.waiting[d.first]
	d.first, d.count = (d.first+1)%digitsWaiting, d.count-1
	o.Begin(s, now)
	d.timestamp = o.Moment(s.Rate, now)
	d.dialing, d.started, d.sent, d.ends = true, now, 0, 0
}

type digitPacket [packet.HeaderLen + packet.EventLen]byte

// write writes the packet that is due, and reports whether it ends the digit. If the worker was late, it skips the
// packets between.
func (d *dialer) write(o *stream.Outlet, pkt *digitPacket, now time.Duration) (over bool) {
	e := packet.Event{Code: d.tone.code, Volume: digitVolume}
	reached := d.tone.duration
	if elapsed := now - d.started; elapsed < reached {
		reached = min(elapsed.Truncate(digitInterval)+digitInterval, reached)
		d.next = d.started + reached
	} else {
		e.End = true
		d.ends++
		d.next = now + digitInterval
	}
	e.Duration = uint16(stream.Units(reached, d.tone.rate)) // at most digitUnits
	o.Put(pkt[:], d.tone.payloadType, d.sent == 0, d.timestamp, d.started)
	e.Put(pkt[packet.HeaderLen:])
	d.sent++
	if d.ends == digitEnds {
		d.dialing, d.next = false, now+digitGap
	}
	return !d.dialing
}

// drop drops the current digit and those that wait.
func (d *dialer) drop(now time.Duration) {
	d.first, d.count = 0, 0
	if d.dialing {
		d.dialing, d.next = false, now+digitGap
	}
}

func (w *worker) addDigit(r *relay, to Side, t tone) error {
	ep := r.heard(to.Other())
	if ep.dest.size == 0 {
		return errNoDestination
	}
	if ep.dialer == nil {
		ep.dialer = &dialer{next: never}
	}
	if !ep.dialer.add(t, w.now) {
		return errDigitsWait
	}
	w.arm(ep)
	return nil
}

// dial sends the due packet of a digit into the stream from ep.
func (w *worker) dial(ep *endpoint) {
	d := ep.dialer
	if !d.dialing {
		switch l := ep.listener; {
		case d.count == 0:
			d.next = never
			return
		case l != nil && l.listening && !l.config.Divert:
			d.next = w.now + digitInterval // a key of the other side's is being relayed
			return
		}
		d.begin(&ep.outlet, &ep.stream, w.now)
	}
	over := d.write(&ep.outlet, &w.digit, w.now)
	if w.emit(ep, w.digit[:]) { // if not, the next packet says the same
		ep.count.ofRTP().Digits.Add(1)
	}
	if over {
		w.quiet(ep)
	}
}
