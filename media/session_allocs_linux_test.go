//go:build !race

package media

import (
	"net/netip"
	"runtime"
	"testing"
	"unsafe"
)

// quiet describes both sides of a session, as a call does.
func quiet(s *Session) {
	s.SetPeer(SideA, Peer{RTP: netip.MustParseAddrPort("192.0.2.1:4000"), Codec: "PCMU", ClockRate: 8000})
	s.SetPeer(SideB, Peer{RTP: netip.MustParseAddrPort("192.0.2.2:4000"), Codec: "PCMU", ClockRate: 8000})
	s.Confirm(SideA)
	s.Start()
}

// A held call without media uses little memory, including all that the engine and the worker hold for
// it.
func TestQuietSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); size > 2304 {
		t.Errorf("a session has %d bytes; want 2304 or less, which the runtime has a size for", size)
	}
	e := openEngine(t, nil)
	live := func() uint64 {
		for _, w := range e.workers {
			must(t, w.do(command{op: opSync}))
		}
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const sessions = 200
	before := live()
	all := make([]*Session, sessions)
	for i := range all {
		s, err := e.NewSession(SessionConfig{OnEvent: func(Event) {}})
		must(t, err)
		quiet(s)
		all[i] = s
	}
	each := int(live()-before) / sessions
	t.Logf("%d bytes live for each session, %d of them in it", each, unsafe.Sizeof(Session{}))
	if each > 3<<10 && path.path == nil { // an audit needs memory of its own
		t.Errorf("%d bytes are live for each session; want 3 KB or less", each)
	}
	for _, s := range all {
		s.Close()
	}
}

// openAndClose runs a call without media.
func openAndClose(tb testing.TB, e *Engine) {
	s, err := e.NewSession(SessionConfig{})
	must(tb, err)
	quiet(s)
	s.Close()
}

// A call needs few allocations: the session, and three for each description.
func TestOpenAndCloseAllocateLittle(t *testing.T) {
	e := openEngine(t, func(c *Config) { c.PortHigh = 21031 }) // so that all pairs rest soon
	for range 100 {
		openAndClose(t, e)
	}
	if n := testing.AllocsPerRun(200, func() { openAndClose(t, e) }); n > 8 {
		t.Errorf("%v objects for a call; want 8 or less", n)
	}
}

// BenchmarkOpenAndClose measures what a call's goroutine does for its media if there are rested sockets.
func BenchmarkOpenAndClose(b *testing.B) {
	e := openEngine(b, func(c *Config) { c.PortHigh = 21031 })
	for range 100 {
		openAndClose(b, e)
	}
	b.ReportAllocs()
	for b.Loop() {
		openAndClose(b, e)
	}
}
