package whatsapp

import (
	"testing"
	"time"

	"github.com/pion/rtp"

	"flowbridge/media/opus"
	"flowbridge/sim"
)

// Lost packets are counted and leave silence, and what was heard is like what was said.
func TestHeard(t *testing.T) {
	words := sim.Words(3)[:sentence]
	coder, err := opus.NewEncoder(opus.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	tt := &terminal{kind: MediaICE, words: words}
	for i := range len(words) / opus.Frame {
		var room [opus.MaxPacket]byte
		n, err := coder.Encode(words[i*opus.Frame:][:opus.Frame], room[:])
		if err != nil {
			t.Fatal(err)
		}
		p := rtp.Packet{
			Header:  rtp.Header{PayloadType: payloadOpus, SequenceNumber: uint16(65500 + i), Timestamp: uint32(1<<32 - 960 + i*960), SSRC: 7},
			Payload: room[:n],
		}
		if i%50 != 20 {
			tt.heard.take(&p, time.Unix(0, int64(i)*int64(frameTime)))
		}
	}
	m, r := tt.Media(), Result{}
	if m.RTP.Received != 147 || m.RTP.Lost != 3 || m.RTP.OutOfOrder != 0 || m.RTP.Jitter != 0 || len(m.Heard) != len(words) {
		t.Errorf("got %+v, %d samples", m.RTP, len(m.Heard))
	}
	if tt.judge(&r); r.OwnBack < 0.5 {
		t.Errorf("what was heard is like what was said by %.2f", r.OwnBack)
	}
}

// WhatsApp hangs up 20 s after the answer without audio, and later after 30 s without any.
func TestWaitsInVain(t *testing.T) {
	began := time.Unix(1000, 0)
	for _, tt := range []struct {
		last, now time.Duration // since the answer; last 0: no audio yet
		want      bool
	}{
		{0, 19 * time.Second, false},
		{0, 20 * time.Second, true},
		{5 * time.Second, 34 * time.Second, false},
		{5 * time.Second, 35 * time.Second, true},
	} {
		c := &terminal{}
		if tt.last > 0 {
			c.heard.last = began.Add(tt.last)
		}
		if got := c.waitsInVain(began, began.Add(tt.now)); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}
