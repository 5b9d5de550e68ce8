package media

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// restingSockets returns how many sockets of an engine rest.
func restingSockets(e *Engine) (n int) {
	e.ports.mu.Lock()
	defer e.ports.mu.Unlock()
	for _, r := range e.ports.rests {
		for _, p := range r.pairs {
			for _, fd := range p.fd {
				if fd >= 0 {
					n++
				}
			}
		}
	}
	return n
}

// A pair is used again once it has rested long enough, and the one that has rested
// longest comes first.
func TestPairsRest(t *testing.T) {
	p := orderedPorts(10000, 10099)
	p.mayRest = 10
	here, there := place{addr: relayV4}, place{addr: relayV6}
	for i := range 3 {
		port, _ := p.lease()
		p.keep(here, pair{port: port, fd: sockets{int32(i), -1}}, time.Duration(i)*time.Second)
	}
	if used, _ := p.usage(); used != 0 {
		t.Errorf("%d in use while all rest", used)
	}
	take := func(at place, now time.Duration, want uint16) {
		t.Helper()
		if got, ok := p.rested(at, now); ok != (want != 0) || got.port != want {
			t.Errorf("at %v: got %d, %v; want %d", now, got.port, ok, want)
		}
	}
	take(here, restFor-1, 0)
	take(there, restFor, 0)
	take(here, restFor, 10000)
	take(here, restFor, 0)
	if !p.isLeased(10000) || p.isLeased(10002) {
		t.Error("the pair that was taken is leased, and no other")
	}
	if got, ok := p.tired(here, restFor); !ok || got.port != 10002 || got.fd != (sockets{1, -1}) {
		t.Errorf("got %+v, %v; want 10002 with its socket, rested or not", got, ok)
	}
	for port, ok := p.lease(); ok; port, ok = p.lease() {
		if port == 10004 {
			t.Error("the port of a resting pair was leased as a new one")
		}
	}
	take(here, time.Second+restFor, 0)
	p.mayRest = 1 // one rests already, which is all that may
	take(here, time.Second+restFor, 10004)
}

// The number of resting pairs follows the need: it grows with the calls and shrinks by
// quarters.
func TestRestFollowsNeed(t *testing.T) {
	p := orderedPorts(10000, 19999)
	p.mayRest = 2000
	at := place{addr: relayV4}
	var now time.Duration
	run := func(d time.Duration, calls int) (opened int) { // runs this many calls at once, each for a second
		for end := now + d; now < end; now += time.Second {
			var busy []pair
			for range calls {
				got, ok := p.rested(at, now)
				if !ok {
					opened++
					port, _ := p.lease()
					got = pair{port: port}
				}
				busy = append(busy, got)
			}
			for _, b := range busy {
				p.keep(at, b, now+time.Second)
			}
		}
		return opened
	}
	trim := func() (n int) {
		for _, pairs := range p.surplus(now, true) {
			for _, x := range pairs {
				n++
				if !p.release(x.port) {
					t.Errorf("%d was not leased", x.port)
				}
			}
		}
		return n
	}
	if opened := run(trimEvery, 100); opened != 300 {
		t.Errorf("%d opened at first; want those of three seconds", opened)
	}
	trim()
	for range 6 {
		if opened, closed := run(trimEvery, 100), trim(); opened != 0 || closed != 0 {
			t.Errorf("%d opened and %d closed in a steady state; want none", opened, closed)
		}
	}
	run(trimEvery, 10) // the pause begins within this interval
	trim()
	was := p.resting
	for i := 0; p.resting > 30; i++ {
		opened, closed := run(trimEvery, 10), trim()
		if opened != 0 || closed == 0 || closed > was/trimPart+1 {
			t.Fatalf("%d opened, %d closed of %d; want none, and a quarter at most", opened, closed, was)
		}
		if was = p.resting; i > 50 {
			t.Fatalf("%d still rest", was)
		}
	}
	for range 60 {
		now += trimEvery
		trim()
	}
	if p.resting != 0 || p.free != len(p.queue) {
		t.Errorf("%d rest and %d of %d ports are free after ten quiet minutes", p.resting, p.free, len(p.queue))
	}
}

// A pair that rests and is leased again and again never belongs to two calls at once.
func TestRestingPairsNeverLeasedTwice(t *testing.T) {
	p := newPorts(10000, 10019)
	p.mayRest = 4
	at := place{addr: relayV4}
	var holders [20]sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				got, ok := p.rested(at, 0)
				if !ok {
					got.port, ok = p.lease()
				}
				if !ok {
					got, ok = p.tired(at, 0)
				}
				if !ok {
					continue
				}
				h := &holders[got.port-10000]
				if !h.TryLock() {
					t.Errorf("%d is leased twice", got.port)
					continue
				}
				if !p.isLeased(got.port) {
					t.Errorf("%d is in use and not leased", got.port)
				}
				h.Unlock()
				if i%7 == 0 {
					p.release(got.port)
				} else {
					p.keep(at, got, 0)
				}
			}
		})
	}
	wg.Wait()
	if used, _ := p.usage(); used != 0 || p.free+p.resting != len(p.queue) {
		t.Errorf("%d in use, %d free, %d rest; want none, and all", used, p.free, p.resting)
	}
}

// Only so many pairs rest as are allowed, whatever was needed.
func TestRestIsBounded(t *testing.T) {
	p := orderedPorts(10000, 10999)
	p.mayRest = 20
	for i := range 100 {
		port, _ := p.lease()
		p.keep(place{addr: []netip.Addr{relayV4, relayV6}[i%2]}, pair{port: port}, 0)
	}
	n := 0
	for _, pairs := range p.surplus(time.Millisecond, false) {
		n += len(pairs)
	}
	if n != 80 || p.resting != 20 {
		t.Errorf("%d of 100 were taken out, %d rest; want 80 and 20", n, p.resting)
	}
	if most := maxFiles() / restingShare / 2; most < 1 {
		t.Errorf("%d may rest by the limit of descriptors", most)
	}
}

// freshCall returns a call that has seen no packet before its own first one.
func freshCall(t *testing.T, e *Engine) *bridge {
	t.Helper()
	br := newBridge(t, e)
	must(t, br.worker.do(command{op: opSync}))
	br.carries(sourcePacket(t, 1, 1))
	if st := br.Stats(); st.A.RxPackets+st.B.RxPackets+st.A.RxRTCP != 1 || st.A.DroppedTotal+st.B.DroppedTotal != 0 {
		t.Fatalf("a call has a packet of the one before: %+v", st)
	}
	return br
}

// A late packet that waits in a socket when the next call gets the socket does not
// reach that call.
func TestLatePacketOfTheCallBefore(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.PortLow, c.PortHigh, c.Listen = 21000, 21003, []netip.Addr{relayV4} })
	for range 20 {
		br := freshCall(t, e)
		br.Close()
		if err := br.worker.do(command{op: opSync}); err != nil { // without a session the worker reads nothing
			t.Fatal(err)
		}
		for _, side := range []Side{SideA, SideB} {
			br.a.send(br.Local(side), sourcePacket(t, 1, 2))
			br.a.send(rtcpOf(br.Local(side)), rtcpPacket(t, 1))
		}
	}
}

// A worker with sessions reads and drops packets that arrive at resting sockets.
func TestLatePacketsAreDropped(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.PortLow, c.PortHigh, c.Listen = 21000, 21007, []netip.Addr{relayV4} })
	other, br := freshCall(t, e), freshCall(t, e)
	fds := br.pair
	br.Close()
	for _, side := range []Side{SideA, SideB} {
		br.a.send(br.Local(side), sourcePacket(t, 1, 2))
		br.a.send(rtcpOf(br.Local(side)), rtcpPacket(t, 1))
	}
	for _, p := range fds {
		for _, fd := range p.fd {
			await(t, "a resting socket is read", func() bool {
				waiting, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
				return err == nil && waiting == 0
			})
		}
	}
	br.b.expectNothing()
	freshCall(t, e)
	if st := other.Stats(); st.A.RxPackets != 1 {
		t.Errorf("the other call has %d packets; want 1", st.A.RxPackets)
	}
}

// In a steady state no socket is opened or closed: the same ones serve call after call.
func TestCallsShareSockets(t *testing.T) {
	e := openEngine(t, func(c *Config) { c.PortLow, c.PortHigh, c.Listen = 21000, 21007, []netip.Addr{relayV4} })
	var inodes []uint64
	for range 20 {
		s, err := e.NewSession(SessionConfig{})
		must(t, err)
		for _, p := range s.pair {
			for _, fd := range p.fd {
				var st unix.Stat_t
				must(t, unix.Fstat(int(fd), &st))
				if !slices.Contains(inodes, st.Ino) {
					inodes = append(inodes, st.Ino)
				}
			}
		}
		s.Close()
	}
	if len(inodes) > 8 {
		t.Errorf("%d sockets for 20 calls; want 8, of all four pairs", len(inodes))
	}
	files := openFiles(t)
	e.tend(e.now() + trimEvery)
	e.tend(e.now() + 2*trimEvery) // no pair was needed since then
	if n := restingSockets(e); openFiles(t) != files-2 || n != 6 {
		t.Errorf("%d closed, %d rest; want 2 and 6", files-openFiles(t), n)
	}
}

// A pair that rests at one address can't be used at another one, but its ports can:
// then it is closed.
func TestRestElsewhereGivesWay(t *testing.T) {
	noLeaks(t)
	other := netip.MustParseAddr("127.77.0.2")
	e := openEngine(t, func(c *Config) { c.PortLow, c.PortHigh, c.Listen = 21000, 21003, []netip.Addr{relayV4, other} })
	for i := range 6 {
		at := []netip.Addr{relayV4, other}[i%2]
		s, err := e.NewSession(SessionConfig{Addr: [2]netip.Addr{at, at}})
		must(t, err)
		if s.Local(SideA).Addr() != at {
			t.Errorf("at %v; want %v", s.Local(SideA), at)
		}
		s.Close()
	}
}
