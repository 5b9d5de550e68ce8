package stage

import (
	"cmp"
	"errors"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// Reasons why a Digit is refused.
var (
	// ErrDigit reports an invalid digit, payload type or clock rate.
	ErrDigit = errors.New("not a digit that can be sent")

	// ErrDigitsWait reports that 32 digits are waiting already.
	ErrDigitsWait = errors.New("too many digits wait")

	// ErrNoDestination reports that the side is held, or that its address is unknown or of another IP version.
	ErrNoDestination = errors.New("no destination for a digit")
)

const (
	digitDefault               = 100 * time.Millisecond
	digitShortest              = 40 * time.Millisecond
	digitLongest               = 5 * time.Second
	digitUnits                 = 65535        // the longest that one event can express, without segments
	digitRateMin, digitRateMax = 1000, 192000 // clock rates, Hz

	digitVolume   = 10                    // -10 dBm0: usual, and well within what detectors accept
	digitInterval = 20 * time.Millisecond // between packets, also at the end (RFC 4733 §2.5.1.4)
	digitEnds     = 3                     // how often the end is sent (RFC 4733 §2.5.1.4)
	digitGap      = 40 * time.Millisecond // from the last end to the next digit
	digitsWaiting = 32
)

// Digit is a key press towards a side, as a telephone-event (RFC 4733).
type Digit struct {
	Digit byte // 0 to 9, *, #, A to D

	// Duration is the length of the press, clamped to 40 ms to 5 s; 0 means 100 ms. Clocks above 13107 Hz allow less than
	// 5 s: 65535 units.
	Duration time.Duration

	PayloadType uint8  // of telephone-event as the side expects it, 0 to 127
	ClockRate   uint32 // of telephone-event in Hz, 1000 to 192000; 0 means 8000
}

// tone is a valid Digit.
type tone struct {
	Code        uint8         `cbor:"1,keyasint,omitempty"`
	PayloadType uint8         `cbor:"2,keyasint,omitempty"`
	Rate        int64         `cbor:"3,keyasint"` // Hz
	Duration    time.Duration `cbor:"4,keyasint"` // at most digitUnits
}

func (d Digit) tone() (tone, error) {
	code, ok := packet.DigitCode(d.Digit)
	d.ClockRate = cmp.Or(d.ClockRate, stream.DefaultRate)
	if !ok || d.PayloadType > 127 || d.ClockRate < digitRateMin || d.ClockRate > digitRateMax {
		return tone{}, ErrDigit
	}
	d.Duration = cmp.Or(d.Duration, digitDefault)
	longest := min(digitLongest, stream.Span(digitUnits, d.ClockRate))
	return tone{
		Code: code, PayloadType: d.PayloadType, Rate: int64(d.ClockRate),
		Duration: min(max(d.Duration, digitShortest), longest),
	}, nil
}

// dialer inserts digits into the stream relayed to a side. It is a value without clock or I/O, owned by the worker.
//
//	           +-- after a gap, if another digit waits --+
//	           v                                         |
//	idle --> dialing: 20 ms, 20 ms ... end, end, end --> relaying --> idle
//
// While it dials, nothing is relayed: the receiver gets either speech or the digit (RFC 4733 §2.5.1.2). The relayed
// stream continues afterwards, see outlet.
type dialer struct {
	idle
	way     *way
	waiting [digitsWaiting]tone // a ring
	first   int
	count   int

	next    time.Duration // when to call the dialer next
	dialing bool
	tone    tone
	started time.Duration
	sent    int // packets of the digit
	ends    int // end packets among sent

	timestamp uint32 // the same in all packets of the digit
}

func (d *dialer) add(t tone, now time.Duration) bool {
	if d.count == digitsWaiting {
		return false
	}
	d.waiting[(d.first+d.count)%digitsWaiting] = t
	d.count++
	if d.next == stream.Never {
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

// write writes the packet that is due, and reports whether it ends the digit. If the worker was late, it skips the
// packets in between.
func (d *dialer) write(o *stream.Outlet, pkt []byte, now time.Duration) (over bool) {
	e := packet.Event{Code: d.tone.Code, Volume: digitVolume}
	reached := d.tone.Duration
	if elapsed := now - d.started; elapsed < reached {
		reached = min(elapsed.Truncate(digitInterval)+digitInterval, reached)
		d.next = d.started + reached
	} else {
		e.End = true
		d.ends++
		d.next = now + digitInterval
	}
	e.Duration = uint16(stream.Units(reached, d.tone.Rate)) // at most digitUnits
	o.Put(pkt, d.tone.PayloadType, d.sent == 0, d.timestamp, d.started)
	e.Put(pkt[packet.HeaderLen:])
	d.sent++
	if d.ends == digitEnds {
		d.dialing, d.next = false, now+digitGap
	}
	return !d.dialing
}

// drop drops the current digit and all waiting ones.
func (d *dialer) drop(now time.Duration) {
	d.first, d.count = 0, 0
	if d.dialing {
		d.dialing, d.next = false, now+digitGap
	}
}

func (d *dialer) due() time.Duration                { return d.next }
func (d *dialer) plain(time.Duration) bool          { return d.next == stream.Never }
func (d *dialer) speaks() bool                      { return d.dialing }
func (d *dialer) silence(_ bool, now time.Duration) { d.drop(now) }

func (d Digit) apply(w *way, now time.Duration) { _ = d.press(w, now) }

func (d Digit) press(w *way, now time.Duration) error {
	t, err := d.tone()
	switch {
	case err != nil:
		return err
	case !w.session.Receives(w.side):
		return ErrNoDestination
	case w.dialer == nil:
		w.dialer = &dialer{way: w, next: stream.Never}
		w.arrange()
	}
	if !w.dialer.add(t, now) {
		return ErrDigitsWait
	}
	return nil
}

// attend sends the due packet of a digit.
func (d *dialer) attend(now time.Duration) {
	w := d.way
	if !d.dialing {
		switch l := w.listener; {
		case d.count == 0:
			d.next = stream.Never
			return
		case l != nil && l.listening && !l.config.Divert:
			d.next = now + digitInterval // a key of the other side is being relayed
			return
		}
		d.begin(w.out, w.in, now)
	}
	pkt := w.session.Scratch()[:packet.HeaderLen+packet.EventLen]
	over := d.write(w.out, pkt, now)
	_ = w.session.Send(w.side, pkt) // if it was not sent, the next packet says the same
	if over {
		w.quiet(now)
	}
}

// dialerState is the state of digits that a hand-over passes on.
type dialerState struct {
	Tones     []tone        `cbor:"1,keyasint,omitempty"` // the first is being sent if Dialing is set
	Dialing   bool          `cbor:"2,keyasint,omitempty"`
	Next      time.Duration `cbor:"3,keyasint,omitempty"`
	Started   time.Duration `cbor:"4,keyasint,omitempty"`
	Sent      int           `cbor:"5,keyasint,omitempty"`
	Ends      int           `cbor:"6,keyasint,omitempty"`
	Timestamp uint32        `cbor:"7,keyasint,omitempty"`
}

func (d *dialer) save(st *SideState, c stream.Clock) {
	if !d.dialing && d.count == 0 {
		return
	}
	s := &dialerState{
		Dialing: d.dialing, Next: c.At(d.next), Started: c.At(d.started), Sent: d.sent, Ends: d.ends, Timestamp: d.timestamp,
	}
	if d.dialing {
		s.Tones = append(s.Tones, d.tone)
	}
	for i := range d.count {
		s.Tones = append(s.Tones, d.waiting[(d.first+i)%digitsWaiting])
	}
	st.Dialer = s
}

func (d *dialer) restore(st *SideState, c stream.Clock) {
	s := st.Dialer
	if s == nil || len(s.Tones) == 0 {
		return
	}
	d.next = c.Until(s.Next, digitLongest)
	for i, t := range s.Tones[:min(len(s.Tones), digitsWaiting)] {
		t.PayloadType &= 0x7f
		t.Rate = min(max(t.Rate, digitRateMin), digitRateMax)
		t.Duration = min(max(t.Duration, digitShortest), digitLongest)
		if i == 0 && s.Dialing {
			d.tone = t
			continue
		}
		d.waiting[d.count] = t
		d.count++
	}
	d.dialing, d.started, d.timestamp = s.Dialing, c.Past(s.Started), s.Timestamp
	d.sent, d.ends = max(s.Sent, 0), min(max(s.Ends, 0), digitEnds-1)
}
