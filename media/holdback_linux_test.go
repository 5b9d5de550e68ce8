package media

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"flowbridge/media/packet"
	"flowbridge/media/stage"
	"flowbridge/media/voice/turns"
)

// utters makes side A send 20 ms of PCMU, and returns the packets that side B got. The first byte of words is the
// number of the packet.
func (l *line) utters(seq uint16, loud bool) []heard {
	l.tb.Helper()
	payload := bytes.Repeat([]byte{0xff}, 160)
	if loud {
		rng := rand.New(rand.NewPCG(uint64(seq), 1))
		for i := range payload {
			payload[i] = byte(rng.IntN(2)<<7 | int(seq%3)<<4 | rng.IntN(16)) // not as steady as noise
		}
		payload[0] = byte(seq % 251)
	}
	pkt := append(sourcePacket(l.tb, 0xa, seq)[:packet.HeaderLen], payload...)
	if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
		l.tb.Fatal(errno)
	}
	l.serve()
	return l.collectAll()
}

// goesOn makes side A send words or silence for n packets, one every 20 ms from now, and returns the next number.
func (l *line) goesOn(seq uint16, loud bool, n int, got *[]heard) uint16 {
	l.tb.Helper()
	for range n {
		*got = append(*got, l.utters(seq, loud)...)
		*got = append(*got, l.runs(20*ms)...)
		seq++
	}
	return seq
}

func (l *line) holdBack(on bool) {
	l.tb.Helper()
	l.gives(l.r, SideA, stage.HoldBack(on))
}

// words returns the numbers of the packets with words.
func words(all []heard) (numbers []byte) {
	for _, p := range all {
		if p.payload[0] != 0xff && len(p.payload) == 160 {
			numbers = append(numbers, p.payload[0])
		}
	}
	return numbers
}

func row(from, n int) (row []byte) {
	for i := range n {
		row = append(row, byte((from+i)%251))
	}
	return row
}

// settled checks that every packet that side A has sent was relayed or dropped, besides own packets of ours.
func (l *line) settled(own int) {
	l.tb.Helper()
	l.r.stages.End(l.w.now)
	c := &l.r.ledger.flow[SideA][RTP]
	d, dropped := l.r.ledger.dropped(SideA)
	if rx, tx := c.RxPackets.Load(), c.TxPackets.Load()-uint64(own); rx != tx+dropped {
		l.tb.Errorf("%d came, %d were relayed and %d dropped: %+v", rx, tx, dropped, d)
	}
}

// TestHoldBack: what side A says under a sound to side B is heard after the sound, whole and as one stream, and the
// delay is gone with the first pause.
func TestHoldBack(t *testing.T) {
	for _, sourced := range []bool{false, true} { // side B has heard side A before
		l, seq := newLine(t), uint16(0)
		var before, got []heard
		if sourced {
			seq = l.goesOn(seq, true, 10, &before)
		}
		l.holdBack(true)
		l.play(Play{Sound: counted(t, 200), ID: 4})
		seq = l.goesOn(seq, false, 20, &got) // it says nothing yet
		first := int(seq)
		seq = l.goesOn(seq, true, 50, &got)
		seq = l.goesOn(seq, false, 90, &got) // it waits, and the sound goes on
		second := int(seq)
		seq = l.goesOn(seq, true, 60, &got) // the sound ends within this
		if len(got) != 200 || len(words(got)) != 200 || got[0].payload[0] == byte(first) {
			t.Fatalf("%d packets", len(got))
		}
		if !l.r.stages.Speaks(SideA) || l.r.stages.Plain(SideA, l.w.now) {
			t.Error("the kernel may relay")
		}
		freed := l.w.now
		l.holdBack(false)
		var after []heard
		seq = l.goesOn(seq, true, 50, &after)
		held := len(words(after))
		one(t, append(got[len(got)-1:], after...))
		for i, p := range after[1:] {
			if p.Timestamp-after[i].Timestamp != 160 || p.at-after[i].at != 20*ms {
				t.Fatalf("packet %d: %v and %d units after the one before", i+1, p.at-after[i].at, p.Timestamp-after[i].Timestamp)
			}
		}
		if after[0].at != freed && after[0].at != freed+20*ms {
			t.Errorf("the first comes %v late", after[0].at-freed)
		}
		seq = l.goesOn(seq, false, 200, &after) // as long as the delay, and more
		if want := append(row(first, 50), row(second, 110)...); !bytes.Equal(words(after), want) {
			t.Errorf("said %d;\nwant %d", words(after), want)
		}
		if held != 50 || l.r.stages.Speaks(SideA) || !l.r.stages.Plain(SideA, l.w.now) || l.w.alarm != never {
			t.Errorf("%d heard of the delayed words; it goes on: %v", held, l.r.stages.Speaks(SideA))
		}
		all := append(before, append(got, after...)...)
		one(t, all)
		now := l.w.now
		if p := l.utters(seq, true); len(p) != 1 || p[0].at != now || p[0].Seq != all[len(all)-1].Seq+1 ||
			p[0].Timestamp != all[len(all)-1].Timestamp+160 {
			t.Errorf("the next is %+v; want it behind %+v, at once", p, all[len(all)-1].Header)
		}
		l.settled(200)
	}
}

// TestHoldBackDuringASound: it is switched off while the sound is played, up to its last frame. What was kept waits for
// its end.
func TestHoldBackDuringASound(t *testing.T) {
	for frame := 1; frame < 12; frame++ {
		l, seq := newLine(t), uint16(1)
		var got []heard
		l.holdBack(true)
		l.play(Play{Sound: counted(t, 10)})
		for i := range 15 {
			if i == frame {
				l.holdBack(false)
			}
			seq = l.goesOn(seq, true, 1, &got)
		}
		l.goesOn(seq, false, 50, &got)
		one(t, got)
		if want := row(1, 15); !bytes.Equal(words(got[10:]), want) || l.r.stages.Speaks(SideA) {
			t.Errorf("switched off in frame %d: %d; want the sound, and %d", frame, words(got), want)
		}
		l.settled(10)
	}
}

// TestHoldBackBesideADigit: a digit, and a sound that yields, are sent while what was kept waits or is sent.
func TestHoldBackBesideADigit(t *testing.T) {
	l, seq := newLine(t), uint16(1)
	var got []heard
	l.play(Play{Sound: counted(t, 5), Loop: true, Yield: true})
	l.holdBack(true)
	seq = l.goesOn(seq, true, 20, &got)
	if len(got) != 21 || len(words(got)) != 21 {
		t.Errorf("%d packets of the sound", len(got))
	}
	l.holdBack(false)
	got = l.runs(0)
	seq = l.goesOn(seq, true, 10, &got)
	l.gives(l.r, SideA, Digit{Digit: '5', PayloadType: 101})
	seq = l.goesOn(seq, true, 30, &got)
	l.stopPlay()
	l.goesOn(seq, false, 60, &got)
	var said, digit []heard
	for _, p := range got {
		if p.PayloadType == 101 {
			digit = append(digit, p)
		} else {
			said = append(said, p)
		}
	}
	if want := row(1, 60); !bytes.Equal(words(said), want) || len(digit) != 8 || l.r.stages.Speaks(SideA) {
		t.Errorf("%d packets of a digit, said %d; want %d", len(digit), words(said), want)
	}
	for i, p := range got[1:] {
		if p.Seq != got[i].Seq+1 || p.SSRC != got[i].SSRC || int32(p.Timestamp-got[i].Timestamp) < 0 {
			t.Fatalf("packet %d: %+v after %+v", i+1, p.Header, got[i].Header)
		}
	}
	l.settled(21 + 8)
}

// TestHoldBackKeys: telephone-events of the side are left out while it is on, and sent in their place later.
func TestHoldBackKeys(t *testing.T) {
	l, seq := newLine(t), uint16(1)
	peer := *l.r.party[SideA].named
	peer.Events = setOf(101)
	must(t, l.r.setPeer(SideA, peer, l.w.now))
	var got []heard
	press := func() {
		pkt := append(sourcePacket(t, 0xa, seq)[:packet.HeaderLen], 5, 10, 0, 160)
		pkt[1] = 101
		seq++
		if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
			t.Fatal(errno)
		}
		l.serve()
		got = append(got, l.collectAll()...)
		got = append(got, l.runs(20*ms)...)
	}
	l.holdBack(true)
	seq = l.goesOn(seq, true, 5, &got)
	press()
	seq = l.goesOn(seq, true, 5, &got)
	l.holdBack(false)
	seq = l.goesOn(seq, true, 5, &got)
	press()
	seq = l.goesOn(seq, true, 5, &got)
	seq = l.goesOn(seq, false, 50, &got)
	one(t, got)
	keys := []int{}
	for i, p := range got {
		if p.PayloadType == 101 {
			keys = append(keys, i)
		}
	}
	if len(keys) != 1 || keys[0] != 15 {
		t.Errorf("keys at %d; want one behind 15 packets", keys)
	}
	l.settled(0)
}

// TestHoldBackIsBounded: only the latest 3 s are kept, or 200 ms of a codec whose silence is not known. The memory is
// given back.
func TestHoldBackIsBounded(t *testing.T) {
	l, seq := newLine(t), uint16(0)
	var got []heard
	l.holdBack(true)
	seq = l.goesOn(seq, true, 200, &got)
	if d := l.ep.count.dropped().Replaced.Load(); len(got) != 0 || d != 50 {
		t.Errorf("%d sent, %d dropped of 4 s; want none and 50", len(got), d)
	}
	l.holdBack(false)
	l.goesOn(seq, false, 200, &got)
	if want := row(50, 150); !bytes.Equal(words(got), want) {
		t.Errorf("said %d; want %d", words(got), want)
	}
	l.settled(0)

	l = newLine(t) // its packets have five bytes, of which nothing is known
	l.holdBack(true)
	for i := range uint16(100) {
		got = append(got[:0], l.says(0xa, i)...)
		l.runs(20 * ms)
	}
	l.holdBack(false)
	got = l.runs(0)
	for i := range uint16(30) {
		got = append(got, l.says(0xa, 100+i)...)
		got = append(got, l.runs(20*ms)...)
	}
	one(t, got)
	if len(got) != 40 || l.r.stages.Speaks(SideA) || got[39].at-got[0].at != 29*20*ms {
		t.Errorf("%d packets, it goes on: %v", len(got), l.r.stages.Speaks(SideA))
	}
	l.settled(0)
}

// TestHoldBackOfMusic: a side that never pauses is behind for 30 s at most.
func TestHoldBackOfMusic(t *testing.T) {
	l, seq := newLine(t), uint16(0)
	var got []heard
	l.holdBack(true)
	seq = l.goesOn(seq, true, 100, &got)
	l.holdBack(false)
	seq = l.goesOn(seq, true, 30*50, &got)
	if !l.r.stages.Speaks(SideA) {
		t.Error("it has ended before")
	}
	l.goesOn(seq, true, 105, &got)
	if l.r.stages.Speaks(SideA) || l.ep.count.dropped().Replaced.Load() != 99 { // by so many packets it was behind
		t.Errorf("it goes on: %v, %d left out", l.r.stages.Speaks(SideA), l.ep.count.dropped().Replaced.Load())
	}
	one(t, got)
	l.settled(0)
}

// TestHoldBackPausesTheTalk: what is said while a side is held back is not measured as a conversation.
func TestHoldBackPausesTheTalk(t *testing.T) {
	k := newTalker(t)
	k.order(command{op: opOrder, side: SideB, order: stage.HoldBack(true)})
	if why := k.why(); why != turns.Sound {
		t.Errorf("paused for %b", why)
	}
	k.order(command{op: opOrder, side: SideB, order: stage.HoldBack(false)})
	if why := k.why(); why != 0 {
		t.Errorf("paused for %b after it", why)
	}
}

// TestHoldBackAllocatesNothing: neither keeping nor sending a packet allocates.
func TestHoldBackAllocatesNothing(t *testing.T) {
	l, seq := newLine(t), uint16(0)
	l.utters(seq, true)
	l.holdBack(true)
	pkt := append(sourcePacket(t, 0xa, seq)[:packet.HeaderLen], bytes.Repeat([]byte{0x11}, 160)...)
	step := func() {
		seq++
		binary.BigEndian.PutUint16(pkt[2:], seq)
		binary.BigEndian.PutUint32(pkt[4:], 160*uint32(seq))
		l.w.from.set(l.r.party[SideA].named.RTP)
		l.w.relay(l.ep, copy(l.w.buf[:], pkt))
		if l.w.now += 20 * ms; l.w.now >= l.w.alarm {
			l.w.ring()
		}
		for l.received < l.ep.count.TxPackets.Load() {
			l.received++
			_, _ = receive(l.to, l.sink[:], &l.source)
		}
	}
	step()
	if n := allocations(200, step); n != 0 {
		t.Errorf("%v allocations a packet that is kept", n)
	}
	l.holdBack(false)
	if n := allocations(20, step); n != 0 {
		t.Errorf("%v allocations a packet that is sent", n)
	}
	if !l.r.stages.Speaks(SideA) {
		t.Error("nothing is kept any more")
	}
}

// TestHoldBackAtTheEnd: what is still kept counts as dropped.
func TestHoldBackAtTheEnd(t *testing.T) {
	l, seq := newLine(t), uint16(0)
	var got []heard
	l.holdBack(true)
	l.goesOn(seq, true, 10, &got)
	l.settled(0)
	if d := l.ep.count.dropped().Replaced.Load(); d != 10 {
		t.Errorf("%d dropped; want 10", d)
	}
}
