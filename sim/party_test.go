package sim

import (
	"context"
	"sync"
	"testing"
	"time"
)

// keypad is a party that presses keys, one after the other, and hears those of the other end.
type keypad struct {
	mu     sync.Mutex
	keys   string
	frames int
	heard  []Packet
	enough func()
}

func (k *keypad) Speak(_ time.Time, frame []int16) (key byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	frame[0] = 8000
	if i := k.frames / 4; k.frames%4 < 2 && i < len(k.keys) { // two frames with a key, and two without
		key = k.keys[i]
	}
	if k.frames++; k.frames == 4*len(k.keys)+10 && k.enough != nil {
		k.enough()
	}
	return key
}

func (k *keypad) Hear(p Packet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.Payload = append([]byte(nil), p.Payload...)
	k.heard = append(k.heard, p)
}

// A party's keys arrive as telephone-events: two packets and the end three times, all with the time of the first one.
func TestParty(t *testing.T) {
	callee := &keypad{}
	house := start(t, AgentOptions{}, func(h *openHouse) { h.settle = func() { h.all()[0].Party = callee } })
	ctx, hangUp := context.WithCancel(t.Context())
	cc := house.call("a")
	cc.Hold, cc.Party = 0, &keypad{keys: "1#D", enough: hangUp}
	if _, err := startCarrier(t).Call(ctx, cc); err != nil {
		t.Fatal(err)
	}
	house.ended(t)
	callee.mu.Lock()
	defer callee.mu.Unlock()
	ends, times, audio := map[byte]int{}, map[uint32]byte{}, 0
	for _, p := range callee.heard {
		if !p.Event {
			audio++
			continue
		}
		if p.Payload[1]&0x80 != 0 {
			ends[p.Payload[0]]++
		}
		if key, known := times[p.Timestamp]; known && key != p.Payload[0] {
			t.Errorf("events %d and %d have the same time", key, p.Payload[0])
		}
		times[p.Timestamp] = p.Payload[0]
	}
	if len(times) != 3 || ends[1] != 3 || ends[11] != 3 || ends[15] != 3 || audio == 0 {
		t.Errorf("%d keys, ends %v, %d packets of audio", len(times), ends, audio)
	}
}
