package media

import (
	"testing"
	"time"
)

// TestGapOfAKill: the packets that came while no process was there are lost. Those that the kernel has relayed meanwhile are not.
func TestGapOfAKill(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, nil)
	br := newBridge(t, e)
	br.Start()
	speak := func(from, to uint16) {
		for seq := from; seq < to; seq++ {
			pkt := sourcePacket(t, 7, seq)
			br.a.send(br.Local(SideA), pkt)
			br.b.expect(br.Local(SideB), pkt)
		}
	}
	speak(100, 110)
	st := br.State()
	inKernel := br.relay.offloaded.Load() > 0
	speak(110, 115)
	died := e.began + e.now() - 50*time.Millisecond
	kill(t, e)
	next := openEngine(t, nil)
	st = filed(t, st)
	st.At, st.Died = died-time.Second, died
	s, err := next.Resume(SessionConfig{}, st)
	must(t, err)
	if s.relay.enter() {
		s.relay.heard(SideA).stream.missedBy = never // however slow this machine is
		s.relay.leave()
	}
	br.Session = s
	speak(115, 120)
	is := s.Close().A
	if inKernel {
		if is.Gap != 0 || is.Lost != 0 || is.RxPackets != 20 {
			t.Errorf("in the kernel: %+v", is)
		}
		return
	}
	if is.Gap < 50*time.Millisecond || is.Lost != uint64(is.Gap/(20*time.Millisecond)) || is.RxPackets+is.Lost < 20 || is.Bursts != 1 {
		t.Errorf("quality %+v; want a gap of 50ms at least in one burst, and a lost packet for each 20ms of it", is)
	}
}

// TestGapOfAStreamThatIsNotNoted: a stream that has begun after the last note, as right after the answer, was there, too.
func TestGapOfAStreamThatIsNotNoted(t *testing.T) {
	if path.kernel != nil {
		return // TestGapOfAKill holds what is relayed there
	}
	noLeaks(t)
	e := openEngine(t, nil)
	br := newBridge(t, e)
	br.Start()
	st := br.State()
	speak := func(from, to uint16) {
		for seq := from; seq < to; seq++ {
			pkt := sourcePacket(t, 7, seq)
			br.a.send(br.Local(SideA), pkt)
			br.b.expect(br.Local(SideB), pkt)
		}
	}
	speak(100, 110)
	died := e.began + e.now() - 50*time.Millisecond
	kill(t, e)
	next := openEngine(t, nil)
	st = filed(t, st)
	st.At, st.Died = died-time.Second, died
	s, err := next.Resume(SessionConfig{}, st)
	must(t, err)
	if s.relay.enter() {
		s.relay.heard(SideA).stream.missedBy = never // however slow this machine is
		s.relay.leave()
	}
	br.Session = s
	speak(115, 120)
	is := s.Close()
	if a := is.A; a.Gap < 50*time.Millisecond || a.Lost != uint64(a.Gap/(20*time.Millisecond)) || a.Bursts != 1 {
		t.Errorf("gap %v, lost %d in %d; want a gap of 50 ms at least and its packets", a.Gap, a.Lost, a.Bursts)
	}
	if is.B.Gap != 0 || is.B.Lost != 0 {
		t.Errorf("the side that says nothing: gap %v, lost %d", is.B.Gap, is.B.Lost)
	}
}
