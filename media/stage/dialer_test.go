package stage

import (
	"testing"
	"time"

	"flowbridge/media/stream"
)

// TestDialerOfNothing: a state with no digit left, or with none at all, dials nothing.
func TestDialerOfNothing(t *testing.T) {
	for _, state := range []*dialerState{nil, {}} {
		e := &edges{}
		e.Init(e)
		st := State{}
		st.Sides[SideA].Dialer = state
		e.Restore(&st, true, stream.Clock{})
		if due := e.Due(SideA); due != stream.Never {
			t.Errorf("%+v: due at %v", state, due)
		}
	}
}

func TestToneIsClamped(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		give time.Duration
		rate uint32
		want time.Duration
	}{
		{0, 0, 100 * ms},
		{1, 0, 40 * ms},
		{-1, 0, 40 * ms},
		{70 * ms, 0, 70 * ms},
		{time.Hour, 8000, 5 * time.Second},
		{time.Hour, 48000, stream.Span(65535, 48000)},
		{time.Hour, 192000, stream.Span(65535, 192000)},
	} {
		got, err := Digit{Digit: '1', Duration: tt.give, ClockRate: tt.rate}.tone()
		if err != nil || got.Duration != tt.want || stream.Units(got.Duration, got.Rate) > 65535 {
			t.Errorf("%v at %d Hz: got %v, %v; want %v", tt.give, tt.rate, got.Duration, err, tt.want)
		}
	}
}
