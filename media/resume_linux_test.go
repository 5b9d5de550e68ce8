package media

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"flowbridge/media/stream"

	"github.com/fxamacker/cbor/v2"
)

// kill ends an engine like SIGKILL: its sockets are closed, and nothing else is done.
func kill(t testing.TB, e *Engine) {
	t.Helper()
	needsNextKernel(t)
	e.mu.Lock()
	e.closing = true
	open := e.sessions
	e.sessions = nil
	e.mu.Unlock()
	close(e.stop)
	e.tending.Wait()
	for _, w := range e.workers {
		w.stop()
	}
	for _, s := range open {
		s.once.Do(func() {
			for _, p := range s.pair {
				p.close()
			}
		})
	}
	for _, r := range e.ports.rests {
		for _, p := range r.pairs {
			p.close()
		}
	}
	close(e.closed)
	nextKernel(t)
	audits.mu.Lock()
	defer audits.mu.Unlock()
	audits.all = nil
}

// filed returns a state as it is after saving and reading.
func filed(t *testing.T, st SessionState) SessionState {
	t.Helper()
	b, err := cbor.Marshal(&st)
	must(t, err)
	var got SessionState
	must(t, cbor.Unmarshal(b, &got))
	return got
}

// resumed kills the engine of a bridge, and resumes the session from a state in another one.
func (br *bridge) resumed(t *testing.T, st SessionState) {
	t.Helper()
	kill(t, br.engine)
	s, err := openEngine(t, nil).Resume(SessionConfig{OnEvent: func(ev Event) { br.events <- ev }}, filed(t, st))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	br.Session = s
}

// A session continues after its process was killed: on the same ports, with the same source, and so that the receivers
// get one stream.
func TestResume(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.Start()
	br.speaks(t, 100, 105)
	local := [2]any{br.Local(SideA), br.Local(SideB)}
	br.resumed(t, br.State())
	if local != [2]any{br.Local(SideA), br.Local(SideB)} {
		t.Errorf("ports %v and %v; want %v", br.Local(SideA), br.Local(SideB), local)
	}
	st := br.Stats()
	if st.A.RxPackets != 5 || st.B.TxPackets != 5 || st.A.Source != br.a.addr || st.A.SSRC != 7 || st.A.FirstRTP.IsZero() {
		t.Errorf("the figures begin with %+v", st.A)
	}
	stranger := newClient(t, "127.0.1.1:0")
	for seq := range uint16(10) {
		stranger.send(br.Local(SideA), sourcePacket(t, 9, seq))
	}
	br.speaks(t, 4000, 4005)
	await(t, "the stranger's packets", func() bool { return br.Stats().A.Dropped.WrongSource == 10 })
	st = br.Close()
	if st.A.RxPackets != 10 || st.A.Lost != 0 || st.A.SSRCChanges != 0 || st.A.Dropped.WrongSource != 10 {
		t.Errorf("got %+v", st.A)
	}
}

// Plain RTP has no numbers that run out, so a session continues after any number of kills.
func TestResumeWithoutEnd(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.Start()
	for seq := range uint16(3 * resumptionsMost) {
		br.carries(sourcePacket(t, 7, 100+seq))
		br.resumed(t, br.State())
	}
	if st := br.Close(); st.A.RxPackets != 3*resumptionsMost || st.A.Lost != 0 {
		t.Errorf("got %+v", st.A)
	}
}

// A session is resumed on its own ports, which fails while another session or program has them.
func TestResumeOnTakenPorts(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, nil)
	br := newBridge(t, e)
	st := filed(t, br.State())
	if _, err := e.Resume(SessionConfig{}, st); !errors.Is(err, errPortTaken) {
		t.Errorf("got %v beside the session", err)
	}
	kill(t, e)
	other := newClient(t, br.Local(SideB).String())
	e = openEngine(t, nil)
	if _, err := e.Resume(SessionConfig{}, st); !errors.Is(err, errAddrInUse) {
		t.Errorf("got %v beside another program", err)
	}
	_ = other.conn.Close()
	s, err := e.Resume(SessionConfig{}, st)
	must(t, err)
	if used, _ := e.Ports(); used != 2 {
		t.Errorf("%d ports are used; want 2", used)
	}
	s.Close()
}

// The kernel continues to relay while no process is running, and the next process has all of its figures, even from a
// state that was saved before the source was known.
func TestResumeFromKernel(t *testing.T) {
	onKernelPath(t)
	needsNextKernel(t)
	for name, steered := range map[string]bool{"with sockets": false, "steered": true} {
		t.Run(name, func(t *testing.T) {
			e := openEngine(t, nil)
			lost := newSteeredCall(t, e)
			c := newSteeredCall(t, e)
			early := c.State()
			for side := range early.Sides { // as if no packet had arrived
				s := &early.Sides[side]
				s.Latch.Source, s.Latch.SSRC, s.Stream, s.Outlet, s.RTPCount = netip.AddrPort{}, 0, stream.State{}, stream.OutletState{}, countState{}
			}
			c.speak(t, 2)
			if steered {
				e.tend(e.now() + steerAfter + time.Second)
				if !c.steered.Load() {
					t.Fatal("not steered")
				}
			}
			kill(t, e)
			c.speak(t, 3)
			lost.speak(t, 2)
			e = openEngine(t, nil)
			if !path.kernel.Uses(lost.Local(SideA).Port()) {
				t.Error("the port of a call that may be resumed can be leased")
			}
			s, err := e.Resume(SessionConfig{}, filed(t, early))
			must(t, err)
			c.Session = s
			c.speak(t, 4)
			if n := s.relay.offloaded.Load(); n != 2 {
				t.Errorf("the kernel has %d flows; want 2", n)
			}
			e.Restored()
			if n := path.kernel.Adopted(); n != 0 {
				t.Errorf("%d flows of nobody are left", n)
			}
			c.speak(t, 5)
			s.SetPayloads(SideA, nil) // takes the flows back
			c.speak(t, 7)
			st := s.Close()
			for _, side := range []SideStats{st.A, st.B} {
				if side.RxPackets != 6 || side.TxPackets != 6 || side.Lost != 1 || side.DroppedTotal != 0 || side.SSRCChanges != 0 {
					t.Errorf("got %+v", side)
				}
			}
		})
	}
}

// A flow that no longer suits the session comes back to the sockets, with its figures.
func TestResumeTakesFlowsBack(t *testing.T) {
	onKernelPath(t)
	needsNextKernel(t)
	e := openEngine(t, nil)
	c := newSteeredCall(t, e)
	st := c.State()
	st.Sides[SideA].Payloads = []PayloadChange{{From: 0, To: 8, Op: PayloadToALaw}}
	kill(t, e)
	c.speak(t, 2)
	s, err := openEngine(t, nil).Resume(SessionConfig{}, filed(t, st))
	must(t, err)
	c.a.send(c.at[SideA], sourcePacket(t, 1, 3))
	if got, _ := c.b.read(); got[1] != 8 {
		t.Errorf("payload type %d; want 8", got[1])
	}
	if st := s.Close(); st.A.RxPackets != 3 || st.A.Lost != 0 {
		t.Errorf("got %+v", st.A)
	}
}
