package packet

import "testing"

func TestTelephoneEvent(t *testing.T) {
	for _, tt := range []struct {
		payload string
		want    Event
		ok      bool
	}{
		{"\x05\x0a\x00\xa0", Event{Code: 5, Volume: 10, Duration: 160}, true},
		{"\x0b\x8a\x03\x20", Event{Code: 11, End: true, Volume: 10, Duration: 800}, true},
		{"\x0f\xff\xff\xff", Event{Code: 15, End: true, Volume: 63, Duration: 65535}, true},
		{"\x10\x00\x00\x00", Event{Code: 16}, true},
		{"\x05\x0a\x00\xa0\x00\x00\x00\x00", Event{Code: 5, Volume: 10, Duration: 160}, true},
		{"\x05\x0a\x00", Event{}, false},
		{"", Event{}, false},
	} {
		if got, ok := ParseEvent([]byte(tt.payload)); got != tt.want || ok != tt.ok {
			t.Errorf("% x: got %+v, %v; want %+v, %v", tt.payload, got, ok, tt.want, tt.ok)
		}
	}
	for i := range digits {
		code, ok := DigitCode(digits[i])
		if digit, back := (Event{Code: code}).Digit(); !ok || !back || digit != digits[i] || int(code) != i {
			t.Errorf("%c: code %d, digit %c", digits[i], code, digit)
		}
	}
	if _, ok := DigitCode('a'); ok {
		t.Error("a is a digit")
	}
}

// FuzzEvent checks that an event that was read is written as the same bytes, except for the reserved bit and trailing
// bytes.
func FuzzEvent(f *testing.F) {
	f.Add([]byte("\x0b\xca\x03\x20more"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, ok := ParseEvent(payload)
		if ok != (len(payload) >= EventLen) {
			t.Fatalf("%d bytes: %v", len(payload), ok)
		}
		if !ok {
			return
		}
		want, got := [EventLen]byte(payload), [EventLen]byte{}
		want[1] &^= 0x40
		if e.Put(got[:]); got != want {
			t.Errorf("got % x; want % x", got, want)
		}
	})
}
