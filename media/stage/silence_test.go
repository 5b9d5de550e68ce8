package stage

import (
	"slices"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
)

// TestReceiverMovesDuringASound: a sound and digits end if their receiver moves, and digits if it holds. The side's
// stream continues with its next packet, not with one that comes late from the time of the sound.
func TestReceiverMovesDuringASound(t *testing.T) {
	sound, ok := audio.Tone("beep")
	if !ok {
		t.Fatal("no sound")
	}
	for name, tt := range map[string]struct {
		order Order
		moved bool
		ends  bool
	}{
		"a sound, and it moves":    {Play{Sound: sound, Loop: true}, true, true},
		"a sound, and it holds":    {Play{Sound: sound, Loop: true}, false, false},
		"digits, and it moves":     {Digit{Digit: '5', Duration: time.Second, PayloadType: 101, ClockRate: 8000}, true, true},
		"digits, and it holds":     {Digit{Digit: '5', Duration: time.Second, PayloadType: 101, ClockRate: 8000}, false, true},
		"a mixed sound, and moves": {Play{Sound: sound, Loop: true, Mix: true}, true, true},
	} {
		e := &edges{}
		e.Init(e)
		in, out := e.Stream(SideA)
		in.SetRate(8000)
		var relayed []uint16
		from := func(numbers ...uint16) {
			for _, n := range numbers {
				e.now += 20 * time.Millisecond
				if e.Due(SideA) <= e.now {
					e.Attend(SideA, e.now)
				}
				h := packet.Header{PayloadType: 0, Seq: n, Timestamp: 160 * uint32(n), SSRC: 7}
				in.Observe(h, e.now)
				if e.Speaks(SideA) {
					continue
				}
				if is, _ := out.Pass(h, 8000, e.now); is {
					relayed = append(relayed, n)
				}
			}
		}
		from(1, 2, 3)
		if err := e.Order(SideA, tt.order, e.now); err != nil {
			t.Fatal(name, err)
		}
		from(4, 6, 7)
		e.Silence(SideA, tt.moved, e.now)
		from(5, 8, 9)
		want := []uint16{1, 2, 3, 8, 9}
		if play, is := tt.order.(Play); is && play.Mix {
			want = []uint16{1, 2, 3, 4, 6, 7, 5, 8, 9}
		} else if !tt.ends {
			want = []uint16{1, 2, 3}
		}
		if !slices.Equal(relayed, want) {
			t.Errorf("%s: %d are relayed; want %d", name, relayed, want)
		}
		if e.Speaks(SideA) == tt.ends {
			t.Errorf("%s: it goes on: %v", name, !tt.ends)
		}
	}
}
