package recording

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowbridge/media"
)

const ms = time.Millisecond

// lined is a timeline whose frames are kept.
type lined struct {
	timeline
	out []int16
}

func newLined() *lined {
	l := &lined{}
	l.emit = func(frames []int16) { l.out = append(l.out, frames...) }
	return l
}

// channel is what came out of a side.
func (l *lined) channel(side media.Side) []int16 {
	c := make([]int16, 0, len(l.out)/2)
	for i := int(side); i < len(l.out); i += 2 {
		c = append(c, l.out[i])
	}
	return c
}

// tone is a packet of 20 ms whose samples are all different, and none of them 0.
func tone(number int) []int16 {
	s := make([]int16, 160)
	for i := range s {
		s[i] = int16(1 + (number*160+i)%32000)
	}
	return s
}

// say puts packet number n of a stream that began at timestamp 1000.
func (l *lined) say(side media.Side, at time.Duration, ssrc uint32, n int) {
	l.put(side, at, ssrc, 1000+uint32(n)*160, tone(n))
}

// failer is a test, of Go's or rapid's.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// wantTones checks that the packets of a channel begin at these frames, and that
// nothing else is in it.
func wantTones(t failer, channel []int16, at map[int]int) {
	t.Helper()
	want := make([]int16, len(channel))
	for n, place := range at {
		if place+160 > len(want) {
			t.Fatalf("packet %d ends at %d of %d frames", n, place+160, len(want))
		}
		copy(want[place:], tone(n))
	}
	for i := range want {
		if channel[i] != want[i] {
			t.Fatalf("frame %d is %d; want %d", i, channel[i], want[i])
		}
	}
}

// TestTimelineKeepsPlaces: jitter, reordering and losses don't move anything: each
// packet that arrives is where its timestamp says, relative to the first.
func TestTimelineKeepsPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLined()
		first := time.Duration(rapid.IntRange(0, 3000).Draw(t, "first ms")) * ms
		count := rapid.IntRange(1, 400).Draw(t, "count")
		wrap := rapid.Uint32().Draw(t, "timestamp")
		type arrival struct {
			at time.Duration
			n  int
		}
		var all []arrival
		for n := range count {
			if n > 0 && rapid.IntRange(0, 9).Draw(t, "loss") == 0 {
				continue
			}
			jitter := time.Duration(rapid.IntRange(0, 59).Draw(t, "jitter")) * ms
			if n == 0 {
				jitter = 0
			}
			a := arrival{first + time.Duration(n)*20*ms + jitter, n}
			i := len(all)
			for i > 0 && all[i-1].at > a.at {
				i--
			}
			all = append(all[:i], append([]arrival{a}, all[i:]...)...)
		}
		places := map[int]int{}
		for _, a := range all {
			l.put(media.SideB, a.at, 7, wrap+uint32(a.n)*160, tone(a.n))
			places[a.n] = int(frameAt(first)) + a.n*160
		}
		l.finish(first + time.Duration(count)*20*ms)
		b := l.channel(media.SideB)
		if want := int(frameAt(first)) + count*160; len(b) != want {
			t.Fatalf("%d frames; want %d", len(b), want)
		}
		wantTones(t, b, places)
		wantTones(t, l.channel(media.SideA), nil)
	})
}

func TestTimelineIsAsLongAsTheRecording(t *testing.T) {
	for _, at := range []time.Duration{0, 1, 125 * time.Microsecond, 10 * time.Second, time.Hour} {
		l := newLined()
		l.finish(at)
		if want := 2 * int(at*sampleRate/time.Second); len(l.out) != want {
			t.Errorf("%v: %d samples; want %d", at, len(l.out), want)
		}
	}
}

// TestTimelineSides: each side has its own channel, on the same line.
func TestTimelineSides(t *testing.T) {
	l := newLined()
	places := [2]map[int]int{{}, {}}
	for n := range 200 {
		at := time.Duration(n) * 20 * ms
		l.say(media.SideA, at, 1, n)
		places[media.SideA][n] = n * 160
		l.say(media.SideB, at+100*ms, 2, n+50)
		places[media.SideB][n+50] = 800 + n*160
	}
	l.finish(4200 * ms)
	wantTones(t, l.channel(media.SideA), places[media.SideA])
	wantTones(t, l.channel(media.SideB), places[media.SideB])
}

// TestTimelineAfresh: a stream that restarts, or whose timestamps do, is where
// it arrives.
func TestTimelineAfresh(t *testing.T) {
	for name, timestamp := range map[string]uint32{
		"the same": 1000, "a little later": 9000, "far ahead": 1 << 30, "far behind": 1<<32 - 1<<30, "just behind": 1<<32 - 90000,
	} {
		l := newLined()
		places := map[int]int{}
		for n := range 10 {
			l.say(media.SideA, time.Duration(n)*20*ms, 1, n)
			places[n] = n * 160
		}
		ssrc := uint32(1)
		if name == "the same" || name == "a little later" {
			ssrc = 2
		}
		for n := range 50 {
			at := 1200*ms + time.Duration(n)*20*ms
			l.put(media.SideA, at, ssrc, timestamp+uint32(n)*160, tone(100+n))
			places[100+n] = 9600 + n*160
		}
		l.finish(2200 * ms)
		t.Run(name, func(t *testing.T) { wantTones(t, l.channel(media.SideA), places) })
	}
}

// TestTimelineSilence: a sender that is silent for long and goes on with its
// timestamps is where it would be; what is too late is left out.
func TestTimelineSilence(t *testing.T) {
	l := newLined()
	l.say(media.SideA, 0, 1, 0)
	l.say(media.SideA, time.Minute, 1, 3000)
	l.say(media.SideA, time.Minute+40*ms, 1, 2990) // 240 ms late
	l.say(media.SideA, time.Minute+60*ms, 1, 2950) // 1060 ms late
	l.finish(61 * time.Second)
	wantTones(t, l.channel(media.SideA), map[int]int{0: 0, 3000: 480000, 2990: 2990 * 160})
}

// TestTimelineLateForGood: when a side's delay grows by more than is held, it is
// out of the recording for half a second only.
func TestTimelineLateForGood(t *testing.T) {
	l := newLined()
	for n := range 50 {
		l.say(media.SideA, time.Duration(n)*20*ms, 1, n)
	}
	for n := 50; n < 200; n++ {
		l.say(media.SideA, time.Duration(n)*20*ms+2*time.Second, 1, n)
	}
	l.finish(6 * time.Second)
	a := l.channel(media.SideA)
	lost := 0
	for n := range 200 {
		found := false
		for i := range a {
			found = found || a[i] == tone(n)[0]
		}
		if !found {
			lost++
		}
	}
	if lost < 20 || lost > 27 {
		t.Errorf("%d packets are missing; want about 25, half a second's", lost)
	}
}

// TestTimelineDrift: a sender whose clock is wrong stays within a tenth of a second
// of when it was heard, for an hour, either way.
func TestTimelineDrift(t *testing.T) {
	for _, ppm := range []int64{-500, -50, 50, 500} {
		l := &lined{}
		var frames int64 // so far
		worst := int64(0)
		marks := map[int16]int64{} // mark to the frame it was heard at
		l.emit = func(part []int16) {
			for i := 0; i < len(part); i += 2 {
				if heard, ok := marks[part[i]]; ok && part[i] != 0 {
					delete(marks, part[i])
					worst = max(worst, max(heard-frames, frames-heard))
				}
				frames++
			}
		}
		const packets = 180_000
		for n := range packets {
			at := time.Duration(n) * 20 * ms
			at += at * time.Duration(ppm) / 1_000_000
			samples := make([]int16, 160)
			mark := int16(1 + n%30000)
			for i := range samples {
				samples[i] = mark // the first that is not overwritten counts
			}
			marks[mark] = frameAt(at)
			l.put(media.SideA, at, 1, uint32(n)*160, samples)
		}
		l.finish(0)
		if limit := int64(sampleRate / 10); worst > limit {
			t.Errorf("%d ppm: %d frames off; want at most %d", ppm, worst, limit)
		}
	}
}

// FuzzTimeline: whatever arrives, the line is as long as the recording or what is
// said, never shorter, and grows in step.
func FuzzTimeline(f *testing.F) {
	f.Add([]byte{0, 0, 10, 1, 20, 2, 200, 3})
	f.Add([]byte{255, 255, 0, 0, 128, 128})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), 400)] // or it is hours
		l := newLined()
		var at time.Duration
		for i := 0; i+3 < len(b); i += 4 {
			at += time.Duration(b[i]) * 4 * ms
			stamp := uint32(b[i+1]) * 4000
			if b[i+2]&0x80 != 0 {
				stamp <<= 11
			}
			l.put(media.Side(b[i+3]&1), at, uint32(b[i+3]&2), stamp, tone(i)[:b[i+2]&0x7f])
			if l.done > frameAt(at) || int64(len(l.out)) != 2*l.done {
				t.Fatalf("%d frames at %v, %d samples", l.done, at, len(l.out))
			}
		}
		l.finish(at)
		if n := int64(len(l.out) / 2); n < frameAt(at) || n > frameAt(at)+reach {
			t.Errorf("%d frames after %v", n, at)
		}
	})
}
