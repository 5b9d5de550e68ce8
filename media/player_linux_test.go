package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
	"flowbridge/media/stream"
)

// counted returns a sound of n frames of 20 ms, whose samples identify their
// frame.
func counted(tb testing.TB, n int) *audio.Sound {
	tb.Helper()
	samples := make([]int16, 160*n)
	for i := range samples {
		samples[i] = int16(1000 + 100*(i/160))
	}
	s, err := audio.NewSound(samples)
	must(tb, err)
	return s
}

// heard is an RTP packet that side B got, with any payload.
type heard struct {
	at time.Duration
	packet.Header
	marker  bool
	payload []byte
}

// collectAll reads the packets that side B got, with their payloads.
func (l *line) collectAll() (all []heard) {
	l.tb.Helper()
	for pkt := l.next(); pkt != nil; pkt = l.next() {
		h, ok := packet.ParseRTP(pkt)
		if !ok {
			l.tb.Fatalf("got % x", pkt)
		}
		all = append(all, heard{l.w.now, h, packet.Marker(pkt), bytes.Clone(packet.Payload(pkt))})
	}
	return all
}

// runs advances the clock and returns the packets that side B got in that time.
func (l *line) runs(d time.Duration) (all []heard) {
	l.tb.Helper()
	for end := l.w.now + d; ; {
		if l.w.alarm > end {
			l.w.now = end
			return append(all, l.collectAll()...)
		}
		l.w.now = max(l.w.alarm, l.w.now)
		l.w.ring()
		all = append(all, l.collectAll()...)
	}
}

// says makes side A send a packet of 20 ms, and returns the packets that side B
// got.
func (l *line) says(ssrc uint32, seq uint16) []heard {
	l.tb.Helper()
	if errno := send(l.from, sourcePacket(l.tb, ssrc, seq), &l.into[0]); errno != 0 {
		l.tb.Fatal(errno)
	}
	l.serve()
	return l.collectAll()
}

func (l *line) play(p Play) {
	l.tb.Helper()
	must(l.tb, l.w.perform(command{op: opOrder, relay: l.r, side: SideA, order: p}))
}

// played reports whether an event is the end of this sound.
func played(e Event, side Side, id uint64) bool {
	p, is := e.(EventPlayed)
	return is && p.Side == side && p.ID == id
}

func (l *line) stopPlay() {
	l.tb.Helper()
	must(l.tb, l.w.perform(command{op: opOrder, relay: l.r, side: SideA, order: stage.Stop{}}))
}

// one checks that packets form one stream on a steady clock.
func one(t *testing.T, all []heard) {
	t.Helper()
	for i, p := range all[min(1, len(all)):] {
		before := all[i]
		if p.SSRC != before.SSRC || p.Seq != before.Seq+1 {
			t.Fatalf("packet %d: SSRC %x number %d after %x %d", i+1, p.SSRC, p.Seq, before.SSRC, before.Seq)
		}
		passed, said := p.at-before.at, time.Duration(int32(p.Timestamp-before.Timestamp))*time.Second/8000
		if said <= 0 || said-passed > stream.TimeSlack || passed-said > stream.TimeSlack {
			t.Fatalf("packet %d: the timestamp goes on by %v in %v", i+1, said, passed)
		}
	}
}

func TestPlay(t *testing.T) {
	sound := counted(t, 3)
	for _, tt := range []struct {
		play Play
		want []int // the frame with which each payload begins
		size int
	}{
		{Play{Sound: sound}, []int{0, 1, 2}, 160},
		{Play{Sound: sound, Law: audio.ALaw, PayloadType: 8}, []int{0, 1, 2}, 160},
		{Play{Sound: sound, Loop: true}, []int{0, 1, 2, 0, 1, 2, 0, 1, 2, 0}, 160},
		{Play{Sound: sound, Frame: 40 * ms}, []int{0, 2}, 320},
		{Play{Sound: sound, Frame: 60 * ms, Loop: true}, []int{0, 0, 0, 0}, 480},
	} {
		t.Run(fmt.Sprintf("law %d, %v, loop %v", tt.play.Law, tt.play.Frame, tt.play.Loop), func(t *testing.T) {
			l := newLine(t)
			ends := 0
			l.r.onEvent = func(e Event) {
				if played(e, SideB, 0) {
					ends++
				}
			}
			start := l.w.now
			l.play(tt.play)
			got := l.runs(190 * ms)
			one(t, got)
			if len(got) != len(tt.want) {
				t.Fatalf("%d packets; want %d", len(got), len(tt.want))
			}
			frame := max(tt.play.Frame, 20*ms)
			for i, p := range got {
				want := tt.play.Sound.In(tt.play.Law)[160*tt.want[i]]
				if p.payload[0] != want || len(p.payload) != tt.size || p.PayloadType != tt.play.PayloadType || p.marker != (i == 0) || p.at != start+time.Duration(i)*frame {
					t.Errorf("packet %d: %+v; want %d bytes that begin with %d, at %v", i, p, tt.size, want, time.Duration(i)*frame)
				}
			}
			if tt.play.Frame == 40*ms && got[1].payload[160] != tt.play.Law.Silence() {
				t.Error("the last frame is not filled up with silence")
			}
			if tt.play.Loop == (ends == 1) || ends > 1 {
				t.Errorf("%d times at its end", ends)
			}
			if c := l.ep.count; c.TxPackets.Load() != uint64(len(got)) {
				t.Errorf("%d sent of %d", c.TxPackets.Load(), len(got))
			}
			if tt.play.Loop {
				l.stopPlay()
			}
			if got := l.runs(time.Second); len(got) != 0 || l.w.alarm != never || len(l.w.armed) != 0 {
				t.Errorf("%d packets after the end, alarm %v", len(got), l.w.alarm)
			}
		})
	}
}

// The target's media follows the ringing under one SSRC, with its numbers
// shifted. If the media stops, as it does for a target that lets a few packets
// through before it rings, the ringing continues.
func TestPlayYields(t *testing.T) {
	l := newLine(t)
	l.play(Play{Sound: counted(t, 500), Loop: true, Yield: true})
	got := l.runs(95 * ms)
	ring := len(got)
	for i := range uint16(5) {
		got = append(got, l.says(0xa, 40000+i)...)
		got = append(got, l.runs(20*ms)...)
	}
	if ring != 5 || len(got) != 5+5 || l.ep.count.dropped().Replaced.Load() != 0 {
		t.Errorf("%d packets of ringing, %d in all, %d replaced; want 5, 10 and none", ring, len(got), l.ep.count.dropped().Replaced.Load())
	}
	got = append(got, l.runs(yieldFor-20*ms)...)
	if len(got) > 10+1 {
		t.Errorf("%d packets within %v of the last one", len(got)-10, yieldFor)
	}
	got = append(got, l.runs(time.Second)...)
	if n := len(got); n < 10+50 || n > 10+52 {
		t.Errorf("%d packets of ringing in the second after", n-10)
	}
	for i := range uint16(5) {
		got = append(got, l.says(0xa, 40005+i)...)
		got = append(got, l.runs(20*ms)...)
	}
	one(t, got)
	l.stopPlay()
	if got := l.runs(time.Second); len(got) != 0 || l.w.alarm != never {
		t.Errorf("%d packets after it was stopped, alarm %v", len(got), l.w.alarm)
	}
}

// A sound is played in the middle of speech. Packets that come during the sound
// are dropped, later ones continue the stream, and packets from before the sound
// come too late.
func TestPlayInsideTheStream(t *testing.T) {
	l := newLine(t)
	var got []heard
	seq := uint16(30000)
	speak := func(n int) {
		for range n {
			got = append(got, l.says(0xa, seq)...)
			got = append(got, l.runs(20*ms)...)
			seq++
		}
	}
	speak(5)
	l.play(Play{Sound: counted(t, 30)})
	got = append(got, l.runs(10*ms)...)
	speak(60)
	one(t, got)
	if len(got) != 5+30+31 || l.ep.count.dropped().Replaced.Load() != 29 {
		t.Errorf("%d packets, %d replaced; want 66 and 29", len(got), l.ep.count.dropped().Replaced.Load())
	}
	if got[0].SSRC != 0xa || got[len(got)-1].Timestamp > uint32(seq)*160 { // the sound ends a frame later
		t.Errorf("the stream has changed: %+v", got[len(got)-1].Header)
	}
	if late := l.says(0xa, 30003); len(late) != 0 {
		t.Errorf("a packet from before the sound: %+v", late)
	}
}

// The timestamps of a sender did not advance while it was on hold.
func TestTimestampsThatStoodStill(t *testing.T) {
	l := newLine(t)
	var got []heard
	say := func(seq uint16) {
		got = append(got, l.says(0xa, seq)...)
		got = append(got, l.runs(20*ms)...)
	}
	for i := range uint16(5) {
		say(i)
	}
	l.play(Play{Sound: counted(t, 2), Loop: true})
	got = append(got, l.runs(10*time.Second)...)
	l.stopPlay()
	for i := range uint16(5) {
		say(5 + i)
	}
	one(t, got)
}

// A digit interrupts a sound. A sound is stopped when its side changes.
func TestPlayBesideADigitAndAMove(t *testing.T) {
	l := newLine(t)
	l.play(Play{Sound: counted(t, 2), Loop: true})
	got := l.runs(30 * ms)
	l.gives(l.r, SideA, Digit{Digit: '5', PayloadType: 101})
	got = append(got, l.runs(500*ms)...)
	digit, sound := 0, 0
	for i, p := range got {
		if p.PayloadType == 101 {
			digit++
		} else {
			sound++
		}
		if i > 0 && (p.Seq != got[i-1].Seq+1 || p.SSRC != got[0].SSRC || int32(p.Timestamp-got[i-1].Timestamp) < 0) {
			t.Fatalf("packet %d: %+v after %+v", i, p.Header, got[i-1].Header)
		}
	}
	if digit != 8 || sound < 15 {
		t.Errorf("%d packets of the digit, %d of the sound", digit, sound)
	}
	moved := *l.r.party[SideB].named
	moved.RTP, moved.RTCP = moved.RTCP, moved.RTP
	must(t, l.r.setPeer(SideB, moved, l.w.now))
	l.runs(time.Second)
	if !l.r.stages.Plain(SideA, l.w.now) || l.w.alarm != never {
		t.Error("it goes on")
	}
}

// A sound is mixed with relayed packets: every packet passes, with the sound
// added. The sound ends in time, whatever arrives.
func TestPlayMixed(t *testing.T) {
	for _, law := range []audio.Law{audio.ULaw, audio.ALaw} {
		l := newLine(t)
		ends := 0
		l.r.onEvent = func(e Event) {
			if played(e, SideB, 7) {
				ends++
			}
		}
		if law == audio.ALaw { // and the relay converts to PCMA
			must(t, l.w.perform(command{op: opPayloads, relay: l.r, side: SideA, payloads: &[maxPayloadChanges]PayloadChange{{To: 8, Op: PayloadToALaw}}}))
		}
		sound := counted(t, 10)
		got := l.says(0xa, 1)
		l.play(Play{Sound: sound, Law: law, PayloadType: uint8(law) * 8, Mix: true, ID: 7})
		for i := range uint16(20) { // packets of 5 bytes
			got = append(got, l.runs(20*ms)...)
			got = append(got, l.says(0xa, 2+i)...)
		}
		one(t, got)
		if len(got) != 21 || ends != 1 || l.ep.count.dropped().Replaced.Load() != 0 || l.w.alarm != never {
			t.Fatalf("%d packets, %d times at its end, alarm %v", len(got), ends, l.w.alarm)
		}
		plain, mixed := got[0].payload, bytes.Clone(got[0].payload)
		law.Mix(mixed, sound.In(law))
		for i, p := range got {
			want := plain
			if i >= 1 && i < 10 { // the sound takes 200 ms
				want = mixed
			}
			if !bytes.Equal(p.payload, want) {
				t.Errorf("law %d, packet %d: % x; want % x", law, i, p.payload, want)
			}
		}
	}
}

// A worker that was held up leaves out packets that are too late, and keeps the
// clock.
func TestPlayLate(t *testing.T) {
	l := newLine(t)
	l.play(Play{Sound: counted(t, 1000)})
	got := l.runs(40 * ms)
	l.w.now += 500 * ms
	got = append(got, l.runs(100*ms)...)
	one(t, got)
	first, last := got[0], got[len(got)-1]
	if behind := last.at - first.at - time.Duration(last.Timestamp-first.Timestamp)*time.Second/8000; behind < 0 || behind > playBehind {
		t.Errorf("%v behind", behind)
	}
}

// Packets arrive in any way, are lost, or change their source, and we send
// packets of our own: the receiver gets one stream, and every number once.
func TestOneStreamOfAnything(t *testing.T) {
	for seed := range uint64(40) {
		l, random := newLine(t), rand.New(rand.NewPCG(seed, 2))
		ssrc, seq := uint32(1), uint16(random.Uint32())
		var got []heard
		for range 400 {
			switch random.IntN(30) {
			case 0:
				l.play(Play{Sound: counted(t, 1+random.IntN(20)), Loop: random.IntN(3) == 0, Yield: random.IntN(2) == 0})
			case 1:
				l.stopPlay()
			case 2:
				_ = l.w.perform(command{op: opOrder, relay: l.r, side: SideA, order: Digit{Digit: '1', PayloadType: 101}})
			case 3:
				ssrc, seq = random.Uint32(), uint16(random.Uint32())
			case 4:
				seq += uint16(random.IntN(5))
			}
			got = append(got, l.says(ssrc, seq)...)
			if random.IntN(20) == 0 {
				got = append(got, l.says(ssrc, seq-1)...)
			}
			got = append(got, l.runs(20*ms)...)
			seq++
		}
		seen := make(map[uint16]bool)
		for i, p := range got {
			if p.SSRC != got[0].SSRC || (seen[p.Seq] && p.PayloadType == 101) {
				t.Fatalf("seed %d, packet %d: %+v after %+v", seed, i, p.Header, got[max(i, 1)-1].Header)
			}
			seen[p.Seq] = true
		}
		if n := len(got); n < 200 {
			t.Errorf("seed %d: %d packets", seed, n)
		}
	}
}

func TestPlayAllocatesNothing(t *testing.T) {
	l := newLine(t)
	l.play(Play{Sound: counted(t, 50), Loop: true})
	l.runs(100 * ms)
	if n := allocations(50, func() {
		l.w.now += 20 * ms
		l.w.ring()
		_, _ = receive(l.to, l.sink[:], &l.source)
	}); n != 0 {
		t.Errorf("%v allocations a frame; want 0", n)
	}
	if binary.BigEndian.Uint16(l.sink[2:]) == 0 {
		t.Error("nothing was sent")
	}
}

// A whole sound that repeats keeps the sides apart until it is stopped: it goes on at another address of its side.
func TestWholeLoopAfterAMove(t *testing.T) {
	l := newLine(t)
	l.play(Play{Sound: counted(t, 2), Loop: true, Whole: true})
	l.runs(30 * ms)
	moved := *l.r.party[SideB].named
	moved.RTP, moved.RTCP = moved.RTCP, moved.RTP
	must(t, l.r.setPeer(SideB, moved, l.w.now))
	if errno := send(l.from, sourcePacket(t, 0xa, 1), &l.into[0]); errno != 0 {
		t.Fatal(errno)
	}
	l.serve()
	if n := l.ep.count.dropped().Replaced.Load(); n != 1 || l.w.alarm == never {
		t.Errorf("the side hears what it must not: %d packets replaced, alarm %v", n, l.w.alarm)
	}
	l.stopPlay()
	if !l.r.stages.Plain(SideA, l.w.now) {
		t.Error("it goes on")
	}
}
