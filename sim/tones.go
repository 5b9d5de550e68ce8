package sim

import (
	"encoding/binary"
	"fmt"
	"strings"
)

const (
	toneNames  = "0123456789*#ABCD" // by event code, RFC 4733 §3.2
	toneLead   = 15                 // frames before the first digit
	toneFrames = 5                  // 100 ms
	toneEnds   = 3                  // the end of an event is sent three times, RFC 4733 §2.5.1.4
	toneGap    = 5
	toneVolume = 10 // -10 dBm0
)

// tones sends digits as telephone-events. The clock owns it.
type tones struct {
	digits string
	frame  int // of the current digit; negative before it
	start  uint32
}

func newTones(digits string) (*tones, error) {
	for _, d := range digits {
		if !strings.ContainsRune(toneNames, d) {
			return nil, fmt.Errorf("digit %q: want one of %s", d, toneNames)
		}
	}
	return &tones{digits: digits, frame: -toneLead}, nil
}

// next returns the event packet of this frame: its payload, its timestamp and
// whether it is the first of its digit. Without an event the frame is audio.
func (t *tones) next(now uint32) (payload [4]byte, ts uint32, first, event bool) {
	if t == nil || t.digits == "" {
		return payload, 0, false, false
	}
	f := t.frame
	t.frame++
	if t.frame == toneFrames+toneEnds {
		defer func() { t.digits, t.frame = t.digits[1:], -toneGap }()
	}
	if f < 0 {
		return payload, 0, false, false
	}
	if f == 0 {
		t.start = now
	}
	payload[0] = byte(strings.IndexByte(toneNames, t.digits[0]))
	payload[1] = toneVolume
	if f >= toneFrames {
		payload[1] |= 0x80
	}
	binary.BigEndian.PutUint16(payload[2:], uint16(min(f+1, toneFrames)*frameSamples))
	return payload, t.start, f == 0, true
}
