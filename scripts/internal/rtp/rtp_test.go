package rtp

import (
	"bytes"
	"testing"
	"time"
)

func TestPacket(t *testing.T) {
	p := bytes.Repeat([]byte{0xef}, Size) // an earlier packet
	Write(p, 7, 1, 70000, 1234567890)
	if call, number, written, ok := Read(p); call != 7 || number != 70000 || written != 1234567890 || !ok {
		t.Errorf("read %d, %d, %d, %v", call, number, written, ok)
	}
	if p[0] != 0x80 || p[1] != 0 || p[2] != 70000>>8&0xff || p[11] != 16 {
		t.Errorf("the header is % x", p[:12])
	}
	for _, other := range [][]byte{nil, p[:Size-1], make([]byte, Size), append(p, 0)} {
		if _, _, _, ok := Read(other); ok {
			t.Errorf("%d bytes are ours", len(other))
		}
	}
}

// After a pause that is longer than an interval, no tick is made up for.
func TestPace(t *testing.T) {
	p := NewPace(time.Millisecond)
	p.begin -= int64(time.Hour)
	if late := p.Wait(2); late < time.Hour-Interval {
		t.Errorf("late by %v", late)
	}
	if late := p.Wait(2); late > time.Minute {
		t.Errorf("still late by %v", late)
	}
}
