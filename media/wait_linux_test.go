package media

import (
	"runtime"
	"testing"
	"time"
)

// A worker that waits with its thread does not keep the runtime from stopping
// it, and does not cost others a processor.
func TestWaitingWorkerIsNoBurden(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	e := openEngine(t, func(c *Config) { c.Workers = 2 })
	if got := runtime.GOMAXPROCS(0); got != before+2 {
		t.Errorf("%d processors with two workers; want %d", got, before+2)
	}
	s := newSession(t, e, SessionConfig{})
	done := make(chan struct{})
	go func() {
		for range 5 {
			runtime.GC()
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("a garbage collection waits for a worker that waits")
	}
	s.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d processors afterwards; want %d", got, before)
	}
}

// A worker that has let its last session go, and rests, takes the next one.
func TestWorkerRestsBetweenSessions(t *testing.T) {
	e := openEngine(t, nil)
	a, b := newClient(t, "127.0.0.1:0"), newClient(t, "127.0.0.1:0")
	for seq := range uint16(3) {
		s := newSession(t, e, SessionConfig{})
		s.SetPeer(SideA, Peer{RTP: a.addr})
		s.SetPeer(SideB, Peer{RTP: b.addr})
		s.Start()
		pkt := rtpPacket(t, 0, seq, "x")
		a.send(s.Local(SideA), pkt)
		b.expect(s.Local(SideB), pkt)
		s.Close()
	}
}

// Where the runtime must not interrupt a worker, that lets go of its processor.
func TestWorkerThatIsNotInterrupted(t *testing.T) {
	t.Setenv("GODEBUG", "asyncpreemptoff=1")
	before := runtime.GOMAXPROCS(0)
	br := newBridge(t, openEngine(t, nil))
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d processors; want %d", got, before)
	}
	for seq := range uint16(20) {
		pkt := rtpPacket(t, 0, seq, "x")
		br.a.send(br.Local(SideA), pkt)
		br.b.expect(br.Local(SideB), pkt)
	}
}
