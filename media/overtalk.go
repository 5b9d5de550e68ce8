package media

import (
	"sync"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/voice"
)

// wordLeast is the shortest speech that counts as a word, as in package turns: shorter sounds are clicks.
const wordLeast = 120 * time.Millisecond

// Overtalk is a Tap that finds out whether a side speaks: a caller that talks over a statement. It hears G.711, also
// what is made of Opus. The zero value of its other fields is ready to use.
type Overtalk struct {
	Side Side

	mu       sync.Mutex
	detector voice.Detector
	epoch    time.Time
	spoke    bool
}

// Packet implements Tap.
func (o *Overtalk) Packet(p Tapped) {
	h, ok := packet.ParseRTP(p.Data)
	if !ok || p.Side != o.Side || p.Kind != RTP {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.epoch.IsZero() {
		o.epoch = p.At
	}
	said, ended := o.detector.Packet(voice.Packet{
		Arrival: p.At.Sub(o.epoch), SSRC: h.SSRC, Timestamp: h.Timestamp, Content: voice.ContentOf(h.PayloadType),
		Payload: packet.Payload(p.Data),
	})
	if ended {
		o.heard(said.To-said.From, said.Level, said.Noise)
	}
}

// heard notes a sound of a side. A sound at the level of the side's background is noise or a tone.
func (o *Overtalk) heard(length time.Duration, level, noise int32) {
	o.spoke = o.spoke || length >= wordLeast && level != noise
}

// Spoke reports whether the side has spoken until now.
func (o *Overtalk) Spoke(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if v := o.detector.View(now.Sub(o.epoch)); !o.epoch.IsZero() && v.Speaking {
		o.heard(v.To-v.Since, v.Level, v.Noise)
	}
	return o.spoke
}
