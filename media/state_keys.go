package media

import (
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// pressState is what a hand-over tells of keys: of those that the side presses, and of digits that are sent in place of
// its packets. After a kill they are over: a digit must not be sent twice.
type pressState struct {
	Listening bool             `cbor:"1,keyasint,omitempty"`
	Current   packet.EventID   `cbor:"2,keyasint,omitzero"`
	Earlier   uint64           `cbor:"3,keyasint,omitempty"`
	Duration  uint16           `cbor:"4,keyasint,omitempty"`
	Heard     time.Duration    `cbor:"5,keyasint,omitempty"`
	Past      []packet.EventID `cbor:"6,keyasint,omitempty"`

	MaskUntil time.Duration    `cbor:"7,keyasint,omitempty"`
	MaskPast  []packet.EventID `cbor:"8,keyasint,omitempty"`

	Tones     []toneState   `cbor:"9,keyasint,omitempty"` // the first is being sent, if Dialing
	Dialing   bool          `cbor:"10,keyasint,omitempty"`
	Next      time.Duration `cbor:"11,keyasint,omitempty"`
	Started   time.Duration `cbor:"12,keyasint,omitempty"`
	Sent      int           `cbor:"13,keyasint,omitempty"`
	Ends      int           `cbor:"14,keyasint,omitempty"`
	Timestamp uint32        `cbor:"15,keyasint,omitempty"`
}

// toneState is a digit that is to be sent.
type toneState struct {
	Code        uint8         `cbor:"1,keyasint,omitempty"`
	PayloadType uint8         `cbor:"2,keyasint,omitempty"`
	Rate        int64         `cbor:"3,keyasint"`
	Duration    time.Duration `cbor:"4,keyasint"`
}

// press is nil where there is nothing to tell.
func (ep *endpoint) press(at func(time.Duration) time.Duration) *pressState {
	st := &pressState{}
	l, m, d := ep.listener, ep.masker, ep.dialer
	if l != nil {
		st.Listening, st.Current, st.Earlier, st.Duration = l.listening, l.current, l.earlier, l.duration
		st.Heard, st.Past = at(l.heard), l.past.state()
	}
	if m != nil {
		st.MaskUntil, st.MaskPast = at(m.until), m.past.state()
	}
	if d != nil && (d.dialing || d.count > 0) {
		if st.Dialing = d.dialing; d.dialing {
			st.Tones = append(st.Tones, d.tone.state())
		}
		for i := range d.count {
			st.Tones = append(st.Tones, d.waiting[(d.first+i)%digitsWaiting].state())
		}
		st.Next, st.Started, st.Sent, st.Ends, st.Timestamp = at(d.next), at(d.started), d.sent, d.ends, d.timestamp
	}
	if l == nil && m == nil && st.Tones == nil {
		return nil
	}
	return st
}

// resume goes on with keys.
func (ep *endpoint) resume(st *pressState, c stream.Clock) {
	if l := ep.listener; l != nil {
		l.listening, l.current, l.earlier, l.duration = st.Listening, st.Current, st.Earlier, st.Duration
		l.heard, l.past = c.Past(st.Heard), pastOf(st.Past)
	}
	if m := ep.masker; m != nil {
		m.until, m.past = c.Until(st.MaskUntil, keyGap), pastOf(st.MaskPast)
	}
	if len(st.Tones) == 0 {
		return
	}
	d := &dialer{next: c.Until(st.Next, digitLongest)}
	for i, s := range st.Tones[:min(len(st.Tones), digitsWaiting)] {
		t := tone{
			code: s.Code, payloadType: s.PayloadType & 0x7f, rate: min(max(s.Rate, digitRateMin), digitRateMax),
			duration: min(max(s.Duration, digitShortest), digitLongest),
		}
		if i == 0 && st.Dialing {
			d.tone = t
			continue
		}
		d.waiting[d.count] = t
		d.count++
	}
	d.dialing, d.started, d.timestamp = st.Dialing, c.Past(st.Started), st.Timestamp
	d.sent, d.ends = max(st.Sent, 0), min(max(st.Ends, 0), digitEnds-1)
	ep.dialer = d
}

func (t tone) state() toneState {
	return toneState{Code: t.code, PayloadType: t.payloadType, Rate: t.rate, Duration: t.duration}
}

// state is the events from the oldest on.
func (e *pastEvents) state() (all []packet.EventID) {
	for i := range e.met {
		all = append(all, e.ids[(e.next-e.met+i+eventsKept)%eventsKept])
	}
	return all
}

func pastOf(all []packet.EventID) (e pastEvents) {
	for _, s := range all {
		e.add(s)
	}
	return e
}
