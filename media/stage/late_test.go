package stage

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
	"flowbridge/sim"
)

// A caller says two words of 200 ms in a quiet room. They begin at these packets of 20 ms.
const (
	wordAt, wordAgain = 40, 100
	wordPackets       = 10
)

// twoWords is what the caller says in 4 s.
func twoWords() (said []int16) {
	rng := rand.New(rand.NewPCG(3, 4))
	said = make([]int16, 200*opus.Frame)
	for i := range said {
		said[i] = int16(rng.IntN(17) - 8)
	}
	for _, at := range []int{wordAt, wordAgain} {
		copy(said[at*opus.Frame:], sim.SpeechLike(uint64(at), wordPackets*20*time.Millisecond))
	}
	return said
}

// throughPath is a session whose side A has said the two words, in packets that arrive in order, each later by delay.
func throughPath(t *testing.T, s opus.Settings, delay func(i int) time.Duration) *edges {
	t.Helper()
	return sent(t, encoded(t, twoWords(), s), delay)
}

// sent is a session whose side A has sent a packet, or nothing, every 20 ms.
func sent(t *testing.T, packets [][]byte, delay func(i int) time.Duration) *edges {
	t.Helper()
	e, seq, last := newEdges(t, opusSide()), uint16(65500), time.Duration(0)
	for i, p := range packets {
		if len(p) > 0 { // else a pause by DTX
			last = max(last, time.Duration(i)*20*time.Millisecond+delay(i))
			e.from(rtpOf(111, seq, uint32(i)*960, p), last)
			seq++
		}
	}
	e.from(nil, e.now+time.Second)
	return e
}

// heardOf counts how many of the packets of a word are heard, in their order, by comparison with those that come in
// time.
func heardOf(t *testing.T, e *edges, s opus.Settings, at int) (n int) {
	t.Helper()
	onTime := throughPath(t, s, func(int) time.Duration { return 0 })
	heard := e.passed[SideA]
	for _, want := range onTime.passed[SideA] {
		h, _ := packet.ParseRTP(want)
		if i := int(h.Timestamp / opus.Frame); i < at || i >= at+wordPackets {
			continue
		}
		for k, got := range heard {
			if alike(packet.Payload(got), packet.Payload(want)) > 0.8 {
				heard, n = heard[k+1:], n+1
				break
			}
		}
	}
	return n
}

// alike is the correlation of two packets of PCMU.
func alike(a, b []byte) float64 {
	var x, y [opus.Frame]int16
	audio.ULaw.Decode(x[:], a)
	audio.ULaw.Decode(y[:], b)
	var ab, aa, bb float64
	for i := range x {
		u, v := float64(x[i]), float64(y[i])
		ab, aa, bb = ab+u*v, aa+u*u, bb+v*v
	}
	return ab / math.Sqrt(aa*bb+1)
}

// stall is the delay of a path that holds everything back for so long, from a packet on, and then releases it at once.
func stall(from int, long time.Duration) func(i int) time.Duration {
	return func(i int) time.Duration {
		if i < from {
			return 0
		}
		return max(0, long-time.Duration(i-from)*20*time.Millisecond)
	}
}

// TestLateWordsAreHeard: what comes late is heard: nothing made up stands in its place.
func TestLateWordsAreHeard(t *testing.T) {
	const ms = time.Millisecond
	longer := func(from int, by time.Duration) func(i int) time.Duration {
		return func(i int) time.Duration {
			if i < from {
				return 0
			}
			return by
		}
	}
	for name, s := range map[string]opus.Settings{"FEC": {FEC: true}, "DTX": {DTX: true}} {
		for _, tt := range []struct {
			name  string
			delay func(i int) time.Duration
		}{
			{"the path stalls within the word", stall(wordAgain+3, 200*ms)},
			{"the path stalls as the word begins", stall(wordAgain, 200*ms)},
			{"the path stalls before the word", stall(wordAgain-5, 200*ms)},
			{"the path is longer from the pause on", longer(wordAgain-10, 300*ms)},
			{"the path is longer from the word on", longer(wordAgain, 300*ms)},
			{"the path is longer within the word", longer(wordAgain+5, 300*ms)},
		} {
			t.Run(name+", "+tt.name, func(t *testing.T) {
				e := throughPath(t, s, tt.delay)
				if n := heardOf(t, e, s, wordAgain); n != wordPackets {
					t.Errorf("%d of %d packets of the word are heard", n, wordPackets)
				}
				if n := heardOf(t, e, s, wordAt); n != wordPackets {
					t.Errorf("%d of %d packets of the word before are heard", n, wordPackets)
				}
			})
		}
	}
}

// TestLateSpeechAfterAPause: where a pause of DTX was filled although the speech behind it had only been held back, the
// speech is sent on at most 200 ms later than in real time. The rest is cut off and counted. The next pause takes the
// delay back.
func TestLateSpeechAfterAPause(t *testing.T) {
	said := twoWords()
	clear(said[wordAgain*opus.Frame:])
	const late = 84 // soon after a packet within the pause, so that most of half a second is filled
	copy(said[late*opus.Frame:], sim.SpeechLike(7, 600*time.Millisecond))
	said = append(said, twoWords()...)
	packets := encoded(t, said, opus.Settings{DTX: true})
	in := func(e *edges, from, to time.Duration) (n int) { // packets whose timestamps are in this time
		for _, pkt := range e.passed[SideA] {
			h, _ := packet.ParseRTP(pkt)
			if at := stream.Span(uint64(h.Timestamp), opus.Rate); at >= from && at < to {
				n++
			}
		}
		return n
	}
	onTime := sent(t, packets, func(int) time.Duration { return 0 })
	for _, tt := range []struct {
		long        time.Duration
		least, most int // packets that are cut off
	}{{200, 0, 0}, {300, 3, 5}, {460, 8, 13}} {
		e := sent(t, packets, stall(late, tt.long*time.Millisecond))
		if n := e.cut[SideA][Overtaken]; n < tt.least || n > tt.most || len(e.cut[SideA]) > 1 {
			t.Errorf("%d ms: cut off %v; want %d to %d", tt.long, e.cut[SideA], tt.least, tt.most)
		}
		const again = (200 + wordAt) * 20 * time.Millisecond
		if got, want := in(e, again, again+time.Second), in(onTime, again, again+time.Second); got != want {
			t.Errorf("%d ms: %d packets in the second of the next word; want %d", tt.long, got, want)
		}
		var last uint32
		for i, pkt := range e.passed[SideA] {
			h, _ := packet.ParseRTP(pkt)
			if i > 0 && int32(h.Timestamp-last) < opus.Frame {
				t.Fatalf("%d ms: timestamp %d after %d", tt.long, h.Timestamp, last)
			}
			last = h.Timestamp
		}
	}
}

// TestOvertakenIsCounted: a packet that comes after its turn is counted, and more patience is had with the next ones.
// One that comes twice is not counted.
func TestOvertakenIsCounted(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 200)
	var order []int
	for i := range all {
		switch i % 20 {
		case 10: // five others overtake it
		case 15:
			order = append(order, i, i-5, i)
		default:
			order = append(order, i)
		}
	}
	for n, i := range order {
		now := time.Duration(n) * 20 * time.Millisecond
		e.from(rtpOf(111, uint16(i), uint32(i)*960, all[i]), now)
		e.Send(SideB, rtpOf(0, uint16(i), uint32(i)*160, make([]byte, 160)))
	}
	for _, side := range []Side{SideA, SideB} {
		if n := e.cut[side][Overtaken]; n != 3 || len(e.cut[side]) > 1 {
			t.Errorf("side %v: %v; want 3", side, e.cut[side])
		}
	}
}

// TestTooFarAheadIsCounted: what comes more than 2 s ahead of time is counted, in both directions.
func TestTooFarAheadIsCounted(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 150)
	e.now = time.Hour
	for i := range all { // 3 s in a burst
		e.from(rtpOf(111, uint16(i), uint32(i)*960, all[i]), e.now)
		e.Send(SideB, rtpOf(0, uint16(i), uint32(i)*160, make([]byte, 160)))
	}
	for side, made := range [][][]byte{e.passed[SideA], e.put[SideA]} {
		if n := e.cut[side][Ahead]; n != 51 || len(made) != 99 || len(e.cut[side]) > 1 { // a reset costs one
			t.Errorf("side %v: %d made, %v", Side(side), len(made), e.cut[side])
		}
	}
}

// TestJitterCutsNothing: with a jitter of 40 ms on average on a path that keeps the order, all that is said is heard.
func TestJitterCutsNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, s := range map[string]opus.Settings{"FEC": {FEC: true}, "DTX": {DTX: true}} {
		packets := encoded(t, words(20), s)
		voiced := 0
		for _, p := range packets {
			if is, _ := opus.Voice(p); is {
				voiced++
			}
		}
		onTime := sent(t, packets, func(int) time.Duration { return 0 }).passed[SideA]
		e := sent(t, packets, func(int) time.Duration { return time.Duration(rng.ExpFloat64() * 40e6) })
		heard, n, all := e.passed[SideA], 0, 0
		for _, want := range onTime {
			if level(samplesIn(want)) < 300 {
				continue
			}
			all++
			for k, got := range heard[:min(len(heard), 60)] {
				if alike(packet.Payload(got), packet.Payload(want)) > 0.8 {
					heard, n = heard[k+1:], n+1
					break
				}
			}
		}
		t.Logf("%s: %d of %d packets with voice, %d voiced, %v", name, n, all, voiced, e.cut[SideA])
		if n < all*98/100 || len(e.cut[SideA]) > 0 {
			t.Errorf("%s: %d of %d packets are heard, %v", name, n, all, e.cut[SideA])
		}
	}
}

// samplesIn returns the samples of a packet of PCMU.
func samplesIn(pkt []byte) []int16 {
	s := make([]int16, opus.Frame)
	audio.ULaw.Decode(s, packet.Payload(pkt))
	return s
}

// TestLossIsNoPause: what is missing without DTX is left to the receiver, and nothing is made up while nothing comes.
func TestLossIsNoPause(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 60)
	for i := range all[:30] {
		e.from(rtpOf(111, uint16(i), uint32(i)*960, all[i]), time.Duration(i)*20*time.Millisecond)
	}
	if e.from(nil, 2*time.Second); len(e.passed[SideA]) != 30 {
		t.Errorf("%d packets of 30", len(e.passed[SideA]))
	}
	if d := e.Due(SideA); d != stream.Never {
		t.Errorf("due at %v", d)
	}
}
