package media

import (
	"testing"
	"time"
)

// killedInAGap kills the process as if 50 ms ago, and resumes the session from a state in another one.
func killedInAGap(t *testing.T, e *Engine, br *bridge, st SessionState) {
	t.Helper()
	died := e.began + e.now() - 50*time.Millisecond
	kill(t, e)
	next := openEngine(t, nil)
	st = filed(t, st)
	st.At, st.Died = died-time.Second, died
	s, err := next.Resume(SessionConfig{}, st)
	must(t, err)
	if s.relay.enter() {
		s.relay.heard(SideA).stream.MissedBy = never // even if this machine is slow
		s.relay.leave()
	}
	br.Session = s
}

// speaks makes side A send the packets numbered from from to to-1.
func (b *bridge) speaks(t *testing.T, from, to uint16) {
	t.Helper()
	for seq := from; seq < to; seq++ {
		b.carries(sourcePacket(t, 7, seq))
	}
}

// TestGapOfAKill: packets that came while no process was running are lost, except those that the kernel has relayed.
func TestGapOfAKill(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, nil)
	br := newBridge(t, e)
	br.Start()
	br.speaks(t, 100, 110)
	st := br.State()
	inKernel := br.relay.offloaded.Load() > 0
	br.speaks(t, 110, 115)
	killedInAGap(t, e, br, st)
	br.speaks(t, 115, 120)
	is := br.Close().A
	if inKernel {
		if is.Gap != 0 || is.Lost != 0 || is.RxPackets != 20 {
			t.Errorf("in the kernel: %+v; want 20 packets, none lost, no gap", is)
		}
		return
	}
	// If this takes more than 100 ms, the gap has more periods of 20 ms than the five packets that were sent since the
	// state.
	if lost := min(uint64(is.Gap/(20*time.Millisecond)), 5); is.Gap < 50*time.Millisecond || is.Lost != lost || is.RxPackets+is.Lost < 20 || is.Bursts != 1 {
		t.Errorf("quality %+v; want a gap of 50ms at least in one burst, and %d lost packets, one for each 20ms of it", is, lost)
	}
}

// TestGapOfAStreamThatIsNotNoted: a stream that began after the last state, for example right after the answer, also
// has the gap.
func TestGapOfAStreamThatIsNotNoted(t *testing.T) {
	if path.kernel != nil {
		return // TestGapOfAKill covers this path
	}
	noLeaks(t)
	e := openEngine(t, nil)
	br := newBridge(t, e)
	br.Start()
	st := br.State()
	br.speaks(t, 100, 110)
	killedInAGap(t, e, br, st)
	br.speaks(t, 115, 120)
	is := br.Close()
	if a := is.A; a.Gap < 50*time.Millisecond || a.Lost != uint64(a.Gap/(20*time.Millisecond)) || a.Bursts != 1 {
		t.Errorf("gap %v, lost %d in %d; want a gap of 50 ms at least and its packets", a.Gap, a.Lost, a.Bursts)
	}
	if is.B.Gap != 0 || is.B.Lost != 0 {
		t.Errorf("the side that says nothing: gap %v, lost %d", is.B.Gap, is.B.Lost)
	}
}
