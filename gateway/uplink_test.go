package gateway

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// TestUplink: packets of any size and in any order within reach come out as frames in order, each place once.
func TestUplink(t *testing.T) {
	one := func(v byte) []byte { return bytes.Repeat([]byte{v}, frameSize) }
	quiet := one(silentByte)
	type packet struct {
		seq   uint16
		stamp uint32
		v     byte
	}
	for name, tt := range map[string]struct {
		in   []packet
		want [][]byte
	}{
		"in order": {[]packet{{1, 0, 1}, {2, 160, 2}}, [][]byte{one(1), one(2)}},
		"swapped":  {[]packet{{1, 0, 1}, {3, 320, 3}, {2, 160, 2}}, [][]byte{one(1), one(2), one(3)}},
		"twice":    {[]packet{{1, 0, 1}, {1, 0, 1}, {2, 160, 2}}, [][]byte{one(1), one(2)}},
		"late":     {[]packet{{2, 160, 2}, {1, 0, 1}, {3, 320, 3}}, [][]byte{one(2), one(3)}},
		"pause":    {[]packet{{1, 0, 1}, {2, 480, 2}}, [][]byte{one(1), quiet, quiet, one(2)}},
		"wraps":    {[]packet{{65535, 1<<32 - 160, 1}, {0, 0, 2}}, [][]byte{one(1), one(2)}},
		"lost": {
			[]packet{{1, 0, 1}, {3, 320, 3}, {4, 480, 4}, {5, 640, 5}, {6, 800, 6}},
			[][]byte{one(1), quiet, one(3), one(4), one(5), one(6)},
		},
		"far jump":    {[]packet{{1, 0, 1}, {2, 1 << 30, 2}}, [][]byte{one(1), one(2)}},
		"new numbers": {[]packet{{1, 0, 1}, {30000, 5, 2}}, [][]byte{one(1), one(2)}},
	} {
		t.Run(name, func(t *testing.T) {
			var u uplink
			var got [][]byte
			for _, p := range tt.in {
				u.push(7, p.seq, p.stamp, one(p.v), func(b []byte) { got = append(got, bytes.Clone(b)) })
			}
			if !bytes.Equal(bytes.Join(got, nil), bytes.Join(tt.want, nil)) {
				t.Errorf("got %d frames; want %d", len(got), len(tt.want))
			}
		})
	}
}

// TestUplinkTime: timestamps can't make more audio than time has elapsed, plus a second.
func TestUplinkTime(t *testing.T) {
	var u uplink
	frames, begun := 0, time.Now()
	for i := range 500 { // ten seconds
		u.elapse(begun.Add(time.Duration(i) * frameTime))
		u.push(1, uint16(i), uint32(i)*perSecond, []byte{1}, func([]byte) { frames++ })
	}
	if most := 11 * perSecond / frameSize; frames > most || frames < most/2 {
		t.Errorf("%d frames", frames)
	}
}

// FuzzUplink: whatever comes, frames have 160 bytes and what is held is bounded.
func FuzzUplink(f *testing.F) {
	f.Add(uint64(1), uint16(50))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		r := rand.New(rand.NewPCG(seed, 1))
		var u uplink
		for range n {
			switch r.IntN(4) {
			case 0:
				u.fill(r.IntN(3)*frameSize, func([]byte) {})
			case 1:
				u.skip(uint32(r.IntN(2)), uint16(r.IntN(300)))
			default:
				u.push(uint32(r.IntN(2)), uint16(r.IntN(300)), uint32(r.IntN(1<<20)), make([]byte, r.IntN(700)), func(b []byte) {
					if len(b) != frameSize {
						t.Fatalf("a frame of %d bytes", len(b))
					}
				})
			}
			if len(u.held) > maxHeld || len(u.part) >= frameSize {
				t.Fatalf("%d packets are held, %d bytes", len(u.held), len(u.part))
			}
		}
	})
}
