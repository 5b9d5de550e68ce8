package media

import (
	"net/netip"
	"testing"
	"time"

	"flowbridge/media/stage"
	"flowbridge/media/stream"

	"golang.org/x/sys/unix"
)

// bench runs a worker in the test's goroutine. The worker relays a number of sessions
// between two sockets.
type bench struct {
	tb       testing.TB
	w        *worker
	relays   []*relay
	into     []sockaddr // side A of each session
	from, to int32      // the clients' sockets
	packet   []byte
	sink     [bufferSize]byte
	source   sockaddr
	wait     [1]unix.PollFd // a field, so that waiting allocates nothing
}

func newBench(tb testing.TB, sessions int) *bench {
	tb.Helper()
	w, err := prepareWorker(time.Now(), silenceLimits{start: time.Hour, mid: time.Hour})
	must(tb, err)
	tb.Cleanup(w.release)
	b := &bench{tb: tb, w: w, into: make([]sockaddr, sessions), packet: rtpPacket(tb, 0, 1, string(make([]byte, 160)))}
	var a, z netip.AddrPort
	b.from, a = bound(tb)
	b.to, z = bound(tb)
	for i := range sessions {
		var fds [2]sockets
		var local [2]netip.AddrPort
		for side := range fds {
			fds[side][RTCP], _ = bound(tb)
			fds[side][RTP], local[side] = bound(tb)
			for _, fd := range fds[side] {
				must(tb, w.watch(int(fd), unix.EPOLLIN))
			}
		}
		r := newRelay(uint64(i), local, fds, nil)
		w.open(r)
		for side, addr := range []netip.AddrPort{a, z} {
			must(tb, r.setPeer(Side(side), Peer{RTP: addr, Believed: prefixes("192.0.2.0/24")}, w.now))
		}
		b.into[i].set(local[SideA])
		b.relays = append(b.relays, r)
	}
	return b
}

// bound opens a socket of a test.
func bound(tb testing.TB) (fd int32, at netip.AddrPort) {
	tb.Helper()
	s, err := openSocket(netip.AddrPortFrom(relayV4, 0), 0)
	must(tb, err)
	tb.Cleanup(func() { closeSocket(s) })
	sa, err := unix.Getsockname(s)
	must(tb, err)
	return int32(s), netip.AddrPortFrom(relayV4, uint16(sa.(*unix.SockaddrInet4).Port))
}

// gives makes the worker carry out a command for a side's stages.
func (b *bench) gives(r *relay, side Side, o stage.Order) {
	b.tb.Helper()
	must(b.tb, b.w.perform(command{op: opOrder, relay: r, side: side, order: o}))
}

// offer sends one packet to each session.
func (b *bench) offer(from int32) {
	for i := range b.into {
		if errno := send(from, b.packet, &b.into[i]); errno != 0 {
			b.tb.Fatal(errno)
		}
	}
}

// carry makes the worker relay the waiting packets.
func (b *bench) carry() {
	for before := b.handled(); b.handled()-before < uint64(len(b.relays)); {
		b.w.turn()
	}
}

func (b *bench) handled() (n uint64) {
	for _, r := range b.relays {
		c := &r.ledger.flow[SideA][RTP]
		n += c.RxPackets.Load() + c.dropped().WrongSource.Load()
	}
	return n
}

// arrives waits until a packet can be read. A packet that was sent on loopback is usually
// there at once, but later if the machine is busy.
func (b *bench) arrives(fd int32) {
	b.tb.Helper()
	b.wait[0] = unix.PollFd{Fd: fd, Events: unix.POLLIN}
	for {
		n, err := unix.Poll(b.wait[:], int(patience/time.Millisecond))
		if n == 1 {
			return
		}
		if err != unix.EINTR {
			b.tb.Fatalf("nothing comes: %v", err)
		}
	}
}

// collect reads the relayed packets.
func (b *bench) collect() {
	for range b.relays {
		b.arrives(b.to)
		if n, errno := receive(b.to, b.sink[:], &b.source); errno != 0 || n != len(b.packet) {
			b.tb.Fatalf("got %d bytes, %v", n, errno)
		}
	}
}

func TestRelayAllocatesNothing(t *testing.T) {
	b := newBench(t, 8)
	b.offer(b.from)
	b.carry() // locking a source allocates
	b.collect()
	for name, shift := range map[string]stream.Shift{"identity": {}, "rewrite": {SSRC: 7, SeqOffset: 1}} {
		for _, r := range b.relays {
			r.endpoint[SideA][RTP].outlet.Shift = shift
			must(t, r.route())
		}
		if n := allocations(100, func() { b.offer(b.from); b.carry(); b.collect() }); n != 0 {
			t.Errorf("%s: %v allocations for 8 packets; want 0", name, n)
		}
	}
	for _, r := range b.relays { // RTCP is parsed, and shifted because of a digit that was sent
		b.gives(r, SideA, TelephoneEvents{On: true, PayloadType: 0, Divert: false})
		b.gives(r, SideA, Digit{Digit: '1', PayloadType: 101})
		r.stages.Silence(SideA, false, 0)
		r.endpoint[SideA][RTP].outlet.Shift.SeqOffset = 8
	}
	b.offer(b.from)
	b.carry() // the list of alarms allocates
	b.collect()
	if n := allocations(100, func() { b.offer(b.from); b.carry(); b.collect() }); n != 0 {
		t.Errorf("beside digits: %v allocations for 8 packets; want 0", n)
	}
	if n := allocations(100, func() { b.offer(b.to); b.carry() }); n != 0 {
		t.Errorf("%v allocations for 8 packets of a stranger; want 0", n)
	}
	if b.relays[0].ledger.flow[SideA][RTP].dropped().WrongSource.Load() == 0 {
		t.Error("the stranger's packets were not counted")
	}
}

func TestTrafficPutsSilenceOff(t *testing.T) {
	const timeout = time.Minute
	b := newBench(t, 1)
	r := b.relays[0]
	silent := 0
	r.onEvent = func(e Event) {
		if ev, ok := e.(EventSilent); ok && ev.Since >= timeout {
			silent++
		}
	}
	check := func(when string, at time.Duration, want int) {
		t.Helper()
		if r.judge(at, silenceLimits{start: timeout, mid: timeout}); silent != want {
			t.Errorf("%s: reported %d times; want %d", when, silent, want)
		}
	}
	check("not started", time.Hour, 0)
	must(t, b.w.perform(command{op: opStart, relay: r}))
	started := b.w.now
	b.offer(b.from)
	b.carry()
	arrived := b.w.now
	if arrived <= started {
		t.Fatalf("the clock stands: %v, %v", started, arrived)
	}
	b.offer(b.to) // packets of a stranger do not count
	b.carry()
	check("a timeout after the start", started+timeout, 0)
	check("just before a timeout after the packet", arrived+timeout-1, 0)
	check("a timeout after the packet", arrived+timeout, 1)
	check("later", arrived+time.Hour, 1)
}

// BenchmarkRelay measures the worker's time for a packet of 172 bytes in each of 32
// sessions: epoll, receive, check, count, send. ns/packet is the worker's time only; ns/op
// includes sending the packets to the worker and reading them from it.
func BenchmarkRelay(b *testing.B) {
	newBench(b, 32).measure(b)
}

// measure reports the worker's time per packet.
func (r *bench) measure(b *testing.B) {
	b.Helper()
	b.ReportAllocs()
	var spent time.Duration
	packets := 0
	for b.Loop() {
		r.offer(r.from)
		begin := time.Now()
		r.carry()
		spent += time.Since(begin)
		r.collect()
		packets += len(r.relays)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(packets), "ns/packet")
}
