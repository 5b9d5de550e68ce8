package stage

import (
	"time"

	"flowbridge/media/answerer"
)

// Order tells a stage what to do: a Mask, TelephoneEvents, a Transcode, a Digit, a Play or Stop, a Detect, a Tapping, a
// Conversation, or an Interrupt.
type Order interface {
	apply(w *way, now time.Duration)
}

// Reports receives what stages find out.
type Reports interface {
	Pressed(by Side, digit byte, duration time.Duration)
	Dialed(from Side) // once per packet of a digit
	Played(to Side, id uint64)
	Answered(side Side, a answerer.Answer)
	Beeped(side Side, b answerer.Beep)
}

// State is the state of one side's stages that another process needs.
type State struct {
	Settings Settings       `cbor:"1,keyasint,omitzero"`
	Listener *listenerState `cbor:"2,keyasint,omitempty"`
	Masker   *maskerState   `cbor:"3,keyasint,omitempty"`
	Dialer   *dialerState   `cbor:"4,keyasint,omitempty"`
}

// Settings are the orders that stay in force, also in another process.
type Settings struct {
	Events TelephoneEvents `cbor:"1,keyasint,omitzero"`
	Mask   Mask            `cbor:"2,keyasint,omitzero"`

	Transcode *Transcode `cbor:"3,keyasint,omitempty"` // nil: off
}

// Note records an order if it stays in force.
func (s *Settings) Note(o Order) {
	switch o := o.(type) {
	case TelephoneEvents:
		s.Events = o
	case Mask:
		s.Mask = o
	case Transcode:
		s.Transcode = nil
		if o.codec = nil; o.On {
			s.Transcode = &o
		}
	}
}

// Valid reports whether the settings are possible.
func (s *Settings) Valid() bool { return s.Events.PayloadType <= 127 && s.Transcode.valid() }
