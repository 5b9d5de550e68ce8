package media

import (
	"errors"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// kill ends an engine as SIGKILL does: its sockets are closed, and nothing is told to anybody.
func kill(t testing.TB, e *Engine) {
	t.Helper()
	if path.kernel != nil {
		t.Skip("needs the flows of another process")
	}
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
	audits.mu.Lock()
	defer audits.mu.Unlock()
	audits.all = nil
}

// filed is a state as it comes back from a file.
func filed(t *testing.T, st SessionState) SessionState {
	t.Helper()
	b, err := cbor.Marshal(&st)
	if err != nil {
		t.Fatal(err)
	}
	var got SessionState
	if err := cbor.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// resumed kills the engine of a bridge and resumes the session, by a state, in another one.
func (br *bridge) resumed(t *testing.T, st SessionState) {
	t.Helper()
	kill(t, br.engine)
	s, err := openEngine(t, nil).Resume(SessionConfig{OnEvent: func(ev Event) { br.events <- ev }}, filed(t, st))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	br.Session = s
}

// A session goes on after its process was killed: on the same ports, with the same source, and so that the receivers see
// one stream.
func TestResume(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.Start()
	for seq := range uint16(5) {
		pkt := sourcePacket(t, 7, 100+seq)
		br.a.send(br.Local(SideA), pkt)
		br.b.expect(br.Local(SideB), pkt)
	}
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
	for seq := range uint16(5) {
		pkt := sourcePacket(t, 7, 4000+seq)
		br.a.send(br.Local(SideA), pkt)
		br.b.expect(br.Local(SideB), pkt)
	}
	st = br.Close()
	if st.A.RxPackets != 10 || st.A.Lost != 0 || st.A.SSRCChanges != 0 || st.A.Dropped.WrongSource != 10 {
		t.Errorf("got %+v", st.A)
	}
}

// The ports of a session that is resumed are its own.
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
	if err != nil {
		t.Fatal(err)
	}
	if used, _ := e.Ports(); used != 2 {
		t.Errorf("%d ports are used; want 2", used)
	}
	s.Close()
}
