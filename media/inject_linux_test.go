package media

import (
	"fmt"
	"testing"
	"time"

	"flowbridge/media/latch"
)

// An attacker that forges a side's source address and port can be told from the side only
// by the SSRC. These tests show the limits of that. Forged and true packets are sent from
// one socket, because they arrive with the same source. The test sets the clock.

// The speaker's packets have numbers below intruding; forged packets have numbers from
// intruding on.
const (
	speaker, intruder = uint32(0x11), uint32(0x66)
	intruding         = 40000
)

// tally counts the packets of the speaker and the forged ones that side B got.
func tally(got []sent) (voices, forged int) {
	for _, s := range got {
		if s.audio < intruding {
			voices++
		} else {
			forged++
		}
	}
	return voices, forged
}

// both sends n packets of the speaker, one every 20 ms, and between them one packet of
// each of the others.
func (l *line) both(seq, forged uint16, n int, others ...uint32) (uint16, uint16) {
	l.tb.Helper()
	for range n {
		l.talk(speaker, seq)
		for _, ssrc := range others {
			l.pass(20 * ms / time.Duration(len(others)+1))
			l.talk(ssrc, forged)
		}
		l.pass(20 * ms / time.Duration(len(others)+1))
		seq, forged = seq+1, forged+1
	}
	return seq, forged
}

func TestInjectionBesideTheStream(t *testing.T) {
	l := newLine(t)
	seq := l.talkOn(speaker, 1, 3)
	l.both(seq, intruding, 500, intruder)
	if v, f := tally(l.got); v != 503 || f != 0 {
		t.Errorf("heard %d of the voice and %d forged; want 503 and none", v, f)
	}
	checkOrder(t, l.take())
	if n := l.r.ledger.stats(l.w.epoch).A.Dropped; n != (Drops{WrongSSRC: 500}) {
		t.Errorf("dropped %+v; want 500 of another SSRC", n)
	}
}

// In a pause of the speaker (RFC 3389, or silence that is not sent), another stream of the
// same source is taken for the speaker's next one. It gives way at the third packet of the
// speaker's stream, however long the pause was, and does not return while the speaker is
// heard.
func TestInjectionInAPause(t *testing.T) {
	for _, pause := range []time.Duration{40 * ms, 200 * ms, 500 * ms, time.Second, 2 * time.Second, 5 * time.Second, time.Minute} {
		t.Run(pause.String(), func(t *testing.T) {
			l := newLine(t)
			seq, forged := l.talkOn(speaker, 1, 200), uint16(intruding)
			for range 3 {
				l.take()
				for range pause / (20 * ms) {
					l.pass(20 * ms)
					l.talk(intruder, forged)
					forged++
				}
				v, f := tally(l.take())
				if most := int(pause / (20 * ms)); v != 0 || f > most || (pause < latch.StreamSilence && f > 1) {
					t.Errorf("%d forged packets heard in the pause; want %d at most", f, most)
				}
				seq, forged = l.both(seq, forged, 100, intruder)
				if v, f = tally(l.got); v < 98 || f > 3 {
					t.Errorf("%d of 100 of the voice heard after the pause and %d forged; want 98 or more and 3 at most", v, f)
				}
				checkOrder(t, l.take())
			}
		})
	}
}

// Several intruding streams, one after the other, do not make the latch forget the
// speaker: the stream that has spoken longest may return.
func TestInjectionByTurns(t *testing.T) {
	l := newLine(t)
	seq, forged := l.talkOn(speaker, 1, 500), uint16(intruding)
	for round := range uint32(3) { // the speaker's stream is as old after a pause as before it
		for i := range uint32(8) {
			for range 20 {
				l.talk(intruder+round+i, forged)
				l.pass(20 * ms)
				forged++
			}
			l.pass(60 * ms)
		}
		l.take()
		seq, forged = l.both(seq, forged, 10, intruder+round+8, intruder+round+7)
		if v, f := tally(l.got); v < 8 || f > 6 {
			t.Errorf("%d of 10 of the voice heard and %d forged; want 8 or more and 6 at most", v, f)
		}
		checkOrder(t, l.take())
	}
}

// A source at a side's address with another port may be the side itself, for 10 s after an
// offer. So it takes the side's place if the side was silent for 2 s. The source in the
// SDP takes the place back.
func TestNamedSourceComesBack(t *testing.T) {
	l := newLine(t)
	named := l.r.party[SideA].named.RTP
	other := newClient(t, fmt.Sprintf("%v:0", named.Addr()))
	if err := l.r.setPeer(SideA, *l.r.party[SideA].named, l.w.now); err != nil { // an offer that changes nothing
		t.Fatal(err)
	}
	l.talkOn(speaker, 1, 10)
	l.pass(latch.RelockSilence)
	for i := range uint16(10) {
		l.talkFrom(other, intruder, intruding+i)
		l.pass(20 * ms)
	}
	if got := l.r.party[SideA].rtp.Source(); got != other.addr {
		t.Fatalf("locked on %v; want %v, in the side's silence", got, other.addr)
	}
	l.got = nil
	for i := range uint16(50) {
		l.talk(speaker, 200+i)
		l.talkFrom(other, intruder, intruding+10+i)
		l.pass(20 * ms)
	}
	if got := l.r.party[SideA].rtp.Source(); got != named {
		t.Errorf("locked on %v; want %v, which the SDP names", got, named)
	}
}
