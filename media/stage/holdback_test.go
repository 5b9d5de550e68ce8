package stage

import (
	"math/rand/v2"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

// numberLen is how many bits of a packet's number are sent.
const numberLen = 24

// speaker is a side A whose packets are relayed or held back. The signs of its first samples, which are silent, are
// its number.
type speaker struct {
	edges
	t testing.TB

	header   packet.Header
	count    uint32 // packets that came
	relayed  int
	replaced int
	latest   uint32 // the latest number that side B got
	last     packet.Header
	got      int // packets that side B got, with our own
	delay    time.Duration
	at       map[uint32]time.Duration // when each packet came
}

func newSpeaker(t testing.TB) *speaker {
	s := &speaker{t: t, header: packet.Header{SSRC: 7}, at: map[uint32]time.Duration{}}
	s.Init(s)
	s.Held = false
	in, _ := s.Stream(SideA)
	in.SetRate(opus.Rate)
	return s
}

func (s *speaker) Send(_ Side, pkt []byte) bool {
	s.gets(pkt)
	return true
}

func (s *speaker) Forward(from Side, pkt []byte) {
	if s.ways[SideA].hold.on {
		s.t.Fatal("a packet is sent while it is held back")
	}
	if s.Inserts(from) {
		s.t.Fatal("a packet that was held back counts as our own")
	}
	s.relayed++
	pkt = s.shifted(from, pkt)
	s.gets(pkt)
	s.hears(pkt)
}

// hears checks a packet of side A as side B gets it: none is overtaken by one that came later.
func (s *speaker) hears(pkt []byte) {
	number := uint32(0)
	for i, b := range packet.Payload(pkt)[:numberLen] {
		number |= uint32(b>>7) << i
	}
	if number <= s.latest {
		s.t.Fatalf("packet %d after %d", number, s.latest)
	}
	s.latest, s.delay = number, s.now-s.at[number]
	if s.delay < 0 {
		s.t.Fatalf("packet %d is sent before it comes", number)
	}
}

// gets checks that a packet of our own, or one that was held back, follows on in the stream to side B.
func (s *speaker) gets(pkt []byte) {
	h, _ := packet.ParseRTP(pkt)
	if ahead := h.Seq - s.last.Seq; s.got > 0 && (h.SSRC != s.last.SSRC || ahead != 1) {
		s.t.Fatalf("packet %d: %+v after %+v", s.got, h, s.last)
	}
	s.last = h
	s.got++
}

// runs passes time.
func (s *speaker) runs(d time.Duration) {
	for end := s.now + d; s.now < end; s.now += 5 * time.Millisecond {
		if s.Due(SideA) <= s.now {
			s.Attend(SideA, s.now)
		}
		s.bounded()
	}
}

func (s *speaker) bounded() {
	w := s.ways[SideA]
	if w == nil || w.hold == nil || w.hold.kept == nil {
		return
	}
	k := w.hold.kept
	if k.long > uint32(opus.Rate*holdMost/time.Second) && k.count > 1 || k.used > keptRoom || k.count > keptMost {
		s.t.Fatalf("%d packets, %d bytes, %d samples are kept", k.count, k.used, k.long)
	}
}

// says has the side send a packet of n samples, loud or silent.
func (s *speaker) says(n int, loud, key bool) {
	s.count++
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = audio.ULaw.Silence()
		if loud {
			payload[i] = byte(i)<<7 | byte(s.count%3)<<4 | byte(i*7%16) // not as steady as noise
		}
	}
	for i := range numberLen {
		payload[i] = byte(s.count>>i)<<7 | 0x7f
	}
	h := s.header
	if key {
		h.PayloadType = 101
	}
	pkt := append(make([]byte, packet.HeaderLen), payload...)
	putHeader(pkt, h, false)
	s.at[s.count] = s.now
	in, out := s.Stream(SideA)
	if in.SSRC() != h.SSRC { // as a relay does that learns a source
		out.Leave(in)
	}
	in.Observe(h, s.now)
	switch v := s.Packet(SideA, &Packet{Header: h, Data: pkt, Now: s.now, Key: key}); v {
	case Relay:
		is, _ := out.Pass(h, opus.Rate, s.now)
		if !is {
			s.replaced++
			break
		}
		s.relayed++
		pkt = s.shifted(SideA, pkt)
		s.hears(pkt)
		if now, _ := packet.ParseRTP(pkt); s.got == 0 || int16(now.Seq-s.last.Seq) > 0 { // else it was late itself
			s.last = now
		}
		s.got++
	case Replaced:
		s.replaced++
	case Kept:
	default:
		s.t.Fatalf("verdict %d", v)
	}
	s.bounded()
}

// next lets time pass until the next packet.
func (s *speaker) next(n int, loud bool) {
	s.says(n, loud, false)
	s.header.Seq++
	s.header.Timestamp += uint32(n)
	s.runs(time.Duration(n) * time.Second / opus.Rate)
}

func (s *speaker) order(o Order) {
	if err := s.Order(SideA, o, s.now); err != nil {
		s.t.Fatal(err)
	}
}

func (s *speaker) plain() bool { return s.Plain(SideA, s.now) && !s.Speaks(SideA) }

// settled checks that each packet was relayed or counted as dropped.
func (s *speaker) settled() {
	s.End(s.now)
	if cut := s.cut[SideA][Replaced]; s.relayed+s.replaced+cut != int(s.count) {
		s.t.Errorf("%d packets: %d relayed, %d and %d dropped", s.count, s.relayed, s.replaced, cut)
	}
}

// TestHeldBackInLengths: packets of any length are kept and sent at their own pace, and pauses within them shorten the
// delay.
func TestHeldBackInLengths(t *testing.T) {
	for _, n := range []int{80, 160, 240, 320, 480} {
		s := newSpeaker(t)
		s.order(HoldBack(true))
		for range 8000 / n { // a second
			s.next(n, true)
		}
		for range 8000 / n {
			s.next(n, false)
		}
		s.order(HoldBack(false))
		began := s.now
		for i := range 32000 / n { // words with pauses of 200 ms
			s.next(n, i*n/1600%2 == 1)
		}
		if s.delay > 40*time.Millisecond+time.Duration(n)*time.Second/opus.Rate {
			t.Errorf("packets of %d: %v behind after 4 s", n, s.delay)
		}
		for !s.plain() && s.now-began < 5*time.Second {
			s.next(n, false)
		}
		if s.next(n, true); !s.plain() || s.delay != 0 || s.relayed < 8000/n {
			t.Errorf("packets of %d: %v behind, %d relayed", n, s.delay, s.relayed)
		}
		s.settled()
	}
}

// TestSoftSoundsAreNoPause: a sound that is much softer than the voice, but louder than the noise, is kept.
func TestSoftSoundsAreNoPause(t *testing.T) {
	s := newSpeaker(t)
	s.order(HoldBack(true))
	samples := make([]int16, opus.Frame)
	say := func(amplitude int) Verdict {
		for i := range samples {
			samples[i] = int16(amplitude * (i%7 - 3))
		}
		payload := make([]byte, opus.Frame)
		audio.ULaw.Encode(payload, samples)
		pkt := rtpOf(0, s.header.Seq, s.header.Timestamp, payload)
		h, _ := packet.ParseRTP(pkt)
		s.now += 20 * time.Millisecond
		s.header.Seq, s.header.Timestamp = s.header.Seq+1, s.header.Timestamp+opus.Frame
		return s.Packet(SideA, &Packet{Header: h, Data: pkt, Now: s.now})
	}
	for i, tt := range []struct {
		amplitude, times int
		last             Verdict
	}{
		{2, 20, Replaced}, {3000, 5, Kept}, {60, 10, Kept}, {3000, 5, Kept}, {2, 3, Kept}, {2, 10, Replaced}, {60, 1, Kept},
	} {
		var last Verdict
		for range tt.times {
			last = say(tt.amplitude)
		}
		if last != tt.last {
			t.Errorf("step %d: verdict %d; want %d", i, last, tt.last)
		}
	}
}

// TestHeldBackForgets: switched on again, it forgets what was kept.
func TestHeldBackForgets(t *testing.T) {
	s := newSpeaker(t)
	s.order(HoldBack(true))
	for range 10 {
		s.next(opus.Frame, true)
	}
	s.order(HoldBack(true))
	for range 3 {
		s.next(opus.Frame, true)
	}
	s.order(HoldBack(false))
	s.runs(time.Second)
	if s.relayed != 3 || s.cut[SideA][Replaced] != 10 || !s.plain() {
		t.Errorf("%d relayed, %d left out", s.relayed, s.cut[SideA][Replaced])
	}
	s.settled()
}

// TestHeldBackPausesOfTheSender: a side that sends no packets while it is silent (DTX) is behind until it pauses. Its
// clock keeps running, and what it says then is heard at once.
func TestHeldBackPausesOfTheSender(t *testing.T) {
	s := newSpeaker(t)
	s.order(HoldBack(true))
	for range 2 {
		for range 30 {
			s.next(opus.Frame, true)
		}
		s.runs(2 * time.Second)
		s.header.Timestamp += 2 * opus.Rate
	}
	s.order(HoldBack(false))
	s.runs(time.Second) // less than what is kept
	for range 10 {
		s.next(opus.Frame, true)
	}
	if s.relayed != 60 || s.plain() {
		t.Errorf("%d relayed after 1.2 s", s.relayed)
	}
	s.runs(time.Second)
	if s.relayed != 70 || s.delay != 200*time.Millisecond || !s.plain() {
		t.Errorf("%d relayed, %v behind", s.relayed, s.delay)
	}
	s.header.Timestamp += opus.Rate
	before := s.last.Timestamp
	if s.next(opus.Frame, true); s.delay != 0 || !s.plain() {
		t.Errorf("%v behind in the end", s.delay)
	}
	if later := s.last.Timestamp - before; later < opus.Rate/2 || later > 2*opus.Rate {
		t.Errorf("%d units later", later)
	}
	s.settled()
}

// FuzzHoldBack has a side send packets in any way, with sounds and digits of ours beside: nothing is sent while it is
// held back, nothing overtakes, what is kept is bounded, and the delay ends with a pause.
func FuzzHoldBack(f *testing.F) {
	beep, ok := audio.Tone("beep")
	if !ok {
		f.Fatal("no sound")
	}
	f.Add([]byte{9, 1, 1, 1, 1, 1, 10, 1, 0, 0, 0, 0})
	f.Add([]byte{9, 1, 1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 1, 1, 13, 14, 15, 1, 0, 0})
	f.Add([]byte{1, 1, 9, 11, 1, 1, 17, 33, 49, 10, 12, 12, 1, 1, 1, 9, 1, 10, 1, 5, 5})
	for seed := range uint64(100) {
		rng, some := rand.New(rand.NewPCG(seed, 1)), make([]byte, 400)
		for i := range some {
			some[i] = byte(rng.Uint32())
		}
		f.Add(some)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newSpeaker(t)
		on := false
		for _, b := range data[:min(len(data), 2000)] {
			n := []int{80, 160, 240, 480}[b>>6]
			switch b & 15 {
			case 0, 1, 2, 3:
				s.next(n, b&1 == 1)
			case 4: // lost
				s.header.Seq += uint16(b >> 4)
				s.header.Timestamp += uint32(b>>4) * opus.Frame
			case 5: // twice, and one that comes late
				s.says(n, true, false)
				if b&16 == 0 {
					s.header.Seq -= 3
					s.says(n, true, false)
					s.header.Seq += 3
				}
				s.header.Seq++
			case 6: // a burst
				for range b >> 4 {
					s.says(n, true, false)
					s.header.Seq++
					s.header.Timestamp += uint32(n)
				}
			case 7: // a pause without packets
				s.runs(time.Duration(b>>4) * 200 * time.Millisecond)
				s.header.Timestamp += uint32(b>>4) * 1600
			case 8: // a key
				s.says(numberLen, true, true)
				s.header.Seq++
			case 9, 10:
				on = b&15 == 9
				s.order(HoldBack(on))
			case 11:
				s.order(Play{Sound: beep, Yield: b&16 != 0, Loop: b&32 != 0})
			case 12:
				s.order(Stop{})
			case 13:
				_ = s.Order(SideA, Digit{Digit: '5', PayloadType: 101}, s.now)
			case 14: // another source
				s.header = packet.Header{SSRC: 1<<16 + s.count, Seq: uint16(b) << 7, Timestamp: uint32(b) << 20}
			case 15:
				s.runs(time.Duration(b>>4) * 3 * time.Millisecond)
			}
		}
		s.order(Stop{})
		s.order(HoldBack(false))
		for range 50 * 16 { // also 32 digits
			s.next(opus.Frame, false)
		}
		if s.next(opus.Frame, true); !s.plain() || s.delay != 0 {
			t.Errorf("%v behind after a pause of 16 s", s.delay)
		}
		s.settled()
	})
}

// TestKept: packets come out of the queue as they went in, past the ends of its rings.
func TestKept(t *testing.T) {
	k, in, out := new(kept), uint16(0), uint16(0)
	for in < 5000 {
		data := make([]byte, packet.HeaderLen+int(in)*37%1480)
		for i := range data {
			data[i] = byte(int(in) + i)
		}
		for !k.fits(len(data), 160, 1<<20) {
			is, pkt := k.take()
			if is.Seq != out || len(pkt) != packet.HeaderLen+int(out)*37%1480 {
				t.Fatalf("packet %d of %d bytes; want %d", is.Seq, len(pkt), out)
			}
			for i, b := range pkt {
				if b != byte(int(out)+i) {
					t.Fatalf("packet %d, byte %d: %d", out, i, b)
				}
			}
			out++
		}
		k.add(&Packet{Header: packet.Header{Seq: in}, Data: data}, 160)
		in++
	}
	if k.long != uint32(k.count)*160 || int(in-out) != k.count || k.used > keptRoom {
		t.Errorf("%d packets, %d bytes, %d samples", k.count, k.used, k.long)
	}
}
