package media

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"flowbridge/media/stream"
)

func TestDigitInsideTheStream(t *testing.T) {
	l := newLine(t)
	next := l.talkOn(0xa, 100, 4)
	start := l.w.now
	l.dial("7", Digit{Duration: 50 * ms})
	next = l.talkOn(0xa, next, 20)
	got := l.take()
	checkOrder(t, got)

	var digit []string
	for _, s := range events(got) {
		digit = append(digit, fmt.Sprintf("%v %v %d %d %v", s.at-start, s.marker, s.event.Code, s.event.Duration, s.event.End))
		if s.Timestamp != 104*160 || s.SSRC != 0xa { // the timestamp and SSRC of the audio that was due
			t.Errorf("timestamp %d, source %x; want %d and a", s.Timestamp, s.SSRC, 104*160)
		}
	}
	want := []string{
		"0s true 7 160 false", "20ms false 7 320 false", "40ms false 7 400 false",
		"50ms false 7 400 true", "70ms false 7 400 true", "90ms false 7 400 true",
	}
	if !slices.Equal(digit, want) {
		t.Errorf("got %q; want %q", digit, want)
	}
	if i := slices.IndexFunc(got, func(s sent) bool { return s.isEvent }); i != 4 || got[3].audio != 103 || got[10].audio != 109 {
		t.Errorf("got %+v; want speech up to 103, 6 packets of digit and speech from 109 on", got)
	}
	for _, s := range got {
		if !s.isEvent && s.Timestamp != uint32(s.audio)*160 {
			t.Errorf("speech %d has the time %d", s.audio, s.Timestamp)
		}
	}
	c := &l.r.ledger.flow[SideA][RTP]
	if c.dropped().Replaced.Load() != 5 || c.TxPackets.Load() != 24-5+6 || c.RxPackets.Load() != 24 {
		t.Errorf("%d replaced, %d sent", c.dropped().Replaced.Load(), c.TxPackets.Load())
	}

	// Another digit is added to the existing shift.
	l.dial("8", Digit{})
	l.talkOn(0xa, next, 20)
	checkOrder(t, append(got[len(got)-1:], l.take()...))
}

func TestDigitsInARow(t *testing.T) {
	l := newLine(t)
	next := l.talkOn(0xa, 1, 3)
	l.dial("12#D", Digit{Duration: 80 * ms})
	l.talkOn(0xa, next, 60)
	got := l.take()
	checkOrder(t, got)
	var codes []uint8
	var over time.Duration // end of the last digit
	for i, s := range got {
		switch {
		case s.isEvent && s.marker:
			codes = append(codes, s.event.Code)
			if over != 0 && s.at-over < digitGap {
				t.Errorf("%v after the digit before", s.at-over)
			}
			if s.Timestamp <= got[i-1].Timestamp {
				t.Errorf("digit %d begins at %d, after speech of %d", s.event.Code, s.Timestamp, got[i-1].Timestamp)
			}
		case s.isEvent && s.event.End:
			over = s.at
		}
	}
	if want := []uint8{1, 2, 11, 15}; !slices.Equal(codes, want) {
		t.Errorf("digits %v; want %v", codes, want)
	}
	if len(events(got)) != 4*(4+digitEnds) {
		t.Errorf("%d packets of digits", len(events(got)))
	}
	if l.w.alarm != never || len(l.w.armed) != 0 || l.ep.armed {
		t.Errorf("still armed for %v", l.w.alarm)
	}
}

// Before any audio, digits form a stream of their own. The audio continues that
// stream, whichever source it comes from.
func TestDigitsBeforeTheAudio(t *testing.T) {
	l := newLine(t)
	l.dial("12", Digit{})
	l.pass(time.Second)
	alone := len(l.got)
	next := l.talkOn(0xa, 30000, 10)
	l.dial("3", Digit{})
	l.talkOn(0xa, next, 20)
	l.talkOn(0xb, 7, 5) // the first two packets prove the source
	l.dial("4", Digit{})
	l.talkOn(0xb, 12, 15)
	got := l.take()
	checkOrder(t, got)
	if alone != 2*8 || len(events(got)) != 4*8 {
		t.Errorf("%d packets before the audio, %d of digits; want 16 and 32", alone, len(events(got)))
	}
	first, speech := got[0], got[alone]
	if d := speech.Timestamp - first.Timestamp; d != stream.Units(speech.at-first.at, 0) {
		t.Errorf("speech %d units after the first digit, which was %v ago", d, speech.at-first.at)
	}
	for _, s := range got {
		if s.SSRC != first.SSRC || s.SSRC == 0 {
			t.Errorf("%+v is not of the first stream", s)
		}
	}
}

// The audio starts, or its source changes, while a digit is being sent.
func TestSourceChangesBesideADigit(t *testing.T) {
	t.Run("the first", func(t *testing.T) {
		l := newLine(t)
		l.dial("12", Digit{})
		l.pass(30 * ms)
		l.talkOn(0xa, 500, 30)
		checkOrder(t, l.take())
		if got := l.ep.count.dropped().Replaced.Load(); got == 0 || got > 14 {
			t.Errorf("%d replaced", got)
		}
	})
	for name, first := range map[string]func(l *line){
		"relayed":         func(l *line) { l.talkOn(0xa, 500, 5) },
		"that follows on": func(l *line) { l.dial("9", Digit{}); l.pass(time.Second); l.talkOn(0xa, 500, 5) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			first(l)
			l.dial("1", Digit{})
			l.talkOn(0xa, 505, 2)
			l.talkOn(0xb, 7000, 20)
			got := l.take()
			checkOrder(t, got)
			i := slices.IndexFunc(got, func(s sent) bool { return s.audio >= 7000 })
			if i < 0 {
				t.Fatal("the new source was not relayed")
			}
			for _, s := range got[i:] {
				if s.isEvent || s.SSRC != got[0].SSRC || s.Timestamp-got[i].Timestamp != uint32(s.audio-got[i].audio)*160 {
					t.Errorf("got %+v", s)
				}
			}
		})
	}
}

// A late packet must not get a number that a digit has used.
func TestLatePacketsBesideADigit(t *testing.T) {
	l := newLine(t)
	l.talkOn(0xa, 1, 5)
	l.talkOn(0xa, 7, 1)
	l.dial("1", Digit{})
	l.pass(50 * ms)
	l.talk(0xa, 6)
	l.pass(200 * ms)
	l.talk(0xa, 8)
	l.talk(0xa, 6)
	l.talkOn(0xa, 9, 3)
	l.talk(0xa, 7)
	got := l.take()
	seen := make(map[uint16]sent)
	for _, s := range got {
		if other, ok := seen[s.Seq]; ok {
			t.Errorf("two packets have the number %d: %+v, %+v", s.Seq, other, s)
		}
		seen[s.Seq] = s
	}
	if n := l.ep.count.dropped().Replaced.Load(); n != 3 {
		t.Errorf("%d replaced; want 3", n)
	}
	if last := got[len(got)-1]; last.audio != 11 || last.Seq != 7+8+4 {
		t.Errorf("last %+v", last)
	}
	l.pass(stream.Overtaken)
	if l.talk(0xa, 7); len(l.take()) != 1 { // the numbers have wrapped around
		t.Error("nothing relayed")
	}

	l = newLine(t)
	l.dial("1", Digit{})
	l.pass(time.Second)
	for _, seq := range []uint16{10, 9, 11} {
		l.talk(0xa, seq)
	}
	checkOrder(t, l.take())
}

// Whatever is lost or late (stream.Overtaken), and whenever digits are sent, every
// number is used once, and the numbers stay as close together as they were.
func TestNumbersOfAnyStream(t *testing.T) {
	for seed := range uint64(30) {
		l, random := newLine(t), rand.New(rand.NewPCG(seed, 1))
		var held []uint16
		base := uint16(random.Uint32())
		for i := range uint16(400) {
			if random.IntN(25) == 0 {
				l.dial("5", Digit{Duration: time.Duration(random.IntN(200)) * ms})
			}
			switch random.IntN(12) {
			case 0: // lost
			case 1:
				held = append(held, base+i)
			default:
				l.talk(0xa, base+i)
				for _, late := range held {
					l.talk(0xa, late)
				}
				held = nil
			}
			l.pass(time.Duration(15+random.IntN(11)) * ms)
		}
		seen := make(map[uint16]bool)
		got := l.take()
		var lowest, highest uint16 // distances from the first number
		for _, s := range got {
			if seen[s.Seq] {
				t.Errorf("seed %d: number %d is used twice: %+v", seed, s.Seq, s)
			}
			seen[s.Seq] = true
			if ahead := s.Seq - got[0].Seq; ahead < 1<<15 {
				highest = max(highest, ahead)
			} else {
				lowest = max(lowest, -ahead)
			}
		}
		if span := int(highest) + int(lowest) + 1; span > len(got)+100 || len(events(got)) < 50 {
			t.Errorf("seed %d: %d packets over %d numbers, %d of digits", seed, len(got), span, len(events(got)))
		}
	}
}

func TestDigitWaitsForAKeyThatIsRelayed(t *testing.T) {
	l := newLine(t)
	l.gives(l.r, SideA, TelephoneEvents{On: true, PayloadType: 101})
	key := pressed(t, 20, 3)
	push := func(pkt []byte) {
		binary.BigEndian.PutUint32(pkt[8:12], 0xa)
		if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
			t.Fatal(errno)
		}
		l.serve()
		l.collect()
		l.pass(20 * ms)
	}
	for _, pkt := range key[:2] {
		push(pkt)
	}
	l.dial("1", Digit{})
	for _, pkt := range key[2:6] {
		push(pkt)
	}
	l.pass(time.Second)
	got := l.take()
	checkOrder(t, got)
	if len(got) != 6+8 || got[5].event.Code != 3 || !got[5].event.End || got[6].event.Code != 1 {
		t.Errorf("got %+v; want 6 packets of the 3 before the 1", got)
	}
}

// A key of the caller is diverted, and a digit of ours is sent beside it. The key is
// reported although its end is lost.
func TestDigitBesideAKeyThatIsDiverted(t *testing.T) {
	l := newLine(t)
	var keys []byte
	l.r.onEvent = func(e Event) {
		if d, ok := e.(EventDigit); ok {
			keys = append(keys, d.Digit)
		}
	}
	l.gives(l.r, SideA, TelephoneEvents{On: true, PayloadType: 101, Divert: true})
	l.dial("9", Digit{})
	l.pass(time.Second)
	l.talkOn(0xcafe0001, 15, 5) // continues the stream after the digit
	l.take()
	key := pressed(t, 20, 3)[0]
	if errno := send(l.from, key, &l.into[0]); errno != 0 {
		t.Fatal(errno)
	}
	l.serve()
	l.dial("1", Digit{})
	l.pass(2 * time.Second)
	l.talkOn(0xcafe0001, 21, 3)
	got := l.take()
	checkOrder(t, got)
	if len(got) != 8+3 || len(events(got)) != 8 {
		t.Errorf("got %+v; want a digit and speech", got)
	}
	if string(keys) != "3" {
		t.Errorf("reported %q; want a 3", keys)
	}
}

// A digit that is dialled right after a packet begins when that packet is over.
func TestDigitBehindAPacket(t *testing.T) {
	l := newLine(t)
	l.talk(0xa, 5)
	l.dial("1", Digit{})
	l.pass(time.Second)
	l.dial("1", Digit{}) // another one after a pause begins at once
	l.pass(time.Second)
	got := events(l.take())
	if a, b := got[0].Timestamp, got[8].Timestamp; a != 6*160 || b != 5*160+8000 {
		t.Errorf("the digits begin at %d and %d; want 960 and 8800", a, b)
	}
}

func TestLateWorkerLeavesPacketsOut(t *testing.T) {
	l := newLine(t)
	l.talkOn(0xa, 1, 2)
	l.dial("1", Digit{Duration: 200 * ms})
	l.w.now += 130 * ms
	l.w.ring()
	l.collect()
	l.pass(time.Second)
	var durations []uint16
	for _, s := range events(l.take()) {
		durations = append(durations, s.event.Duration)
	}
	if want := []uint16{160, 7 * 160, 8 * 160, 9 * 160, 1600, 1600, 1600, 1600}; !slices.Equal(durations, want) {
		t.Errorf("durations %v; want %v", durations, want)
	}
}

// Waiting digits are for the present peer: they are dropped if the side is held or
// moves.
func TestDigitsAreGivenUp(t *testing.T) {
	for name, change := range map[string]func(p *Peer){
		"held":  func(p *Peer) { p.Held = true },
		"moved": func(p *Peer) { p.RTCP, p.RTP = p.RTP, p.RTCP },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			next := l.talkOn(0xa, 1, 2)
			l.dial("123", Digit{})
			l.pass(30 * ms)
			before := *l.r.party[SideB].named
			during := before
			change(&during)
			for _, p := range []Peer{during, before} {
				must(t, l.r.setPeer(SideB, p, l.w.now))
				l.pass(time.Second)
			}
			l.talkOn(0xa, next, 5)
			got := l.take()
			checkOrder(t, got)
			if n := len(events(got)); n != 2 || len(got) != 2+2+5 || l.w.alarm != never {
				t.Errorf("got %d packets of digits in %+v; want 2", n, got)
			}
		})
	}
}
