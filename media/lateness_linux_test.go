package media

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/media/packet"
	"flowbridge/media/quality"
)

// lateWorker is a worker in whose place a test reads the clock, with the schedstat of its thread in a file.
func lateWorker(t *testing.T) (w *worker, wait func(total string)) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "schedstat")
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDONLY|unix.O_CLOEXEC, 0o600)
	must(t, err)
	w = &worker{relays: map[uint64]*relay{1: {id: 1}}, late: lateness{fd: fd}}
	w.relays[1].init(1, [2]netip.AddrPort{}, [2]sockets{{noSocket, noSocket}, {noSocket, noSocket}}, nil)
	t.Cleanup(w.late.close)
	return w, func(total string) { must(t, os.WriteFile(name, []byte("77 "+total+" 5\n"), 0o600)) }
}

// TestLateness: only what the thread waited for a processor is ours. A network that pauses, a process that is stopped and
// many short waits are not.
func TestLateness(t *testing.T) {
	w, wait := lateWorker(t)
	w.now = time.Second
	for _, c := range []struct {
		what   string
		waited string // in all, as the kernel counts
		missed time.Duration
		stood  time.Duration // in all
	}{
		{"the network paused", "0", 400 * time.Millisecond, 0},
		{"the process was stopped for 23 s", "1000000", 23 * time.Second, 0},
		{"short waits beside a pause of the network", "61000000", 400 * time.Millisecond, 0},
		{"no processor for 300 ms", "361000000", 310 * time.Millisecond, 300 * time.Millisecond},
		{"no processor for longer than the worker missed", "961000000", 100 * time.Millisecond, 400 * time.Millisecond},
		{"the same for less than a packet", "971000000", 21 * time.Millisecond, 400 * time.Millisecond},
	} {
		wait(c.waited)
		w.now += c.missed
		w.measure(w.now-c.missed, c.missed)
		if got := time.Duration(w.stood.Load()); got != c.stood {
			t.Errorf("%s: %v without a processor, want %v", c.what, got, c.stood)
		}
	}
	if got := w.relays[1].ledger.stats(time.Time{}).NoCPU; got != 400*time.Millisecond {
		t.Errorf("the call had no processor for %v, want 400 ms", got)
	}
}

// TestPacketsThatWaitedHere: a second of packets waits while the worker has no processor, or is stopped. None of that is
// the network's: no jitter, and the packets that come too late are late here. The MOS takes them in.
func TestPacketsThatWaitedHere(t *testing.T) {
	t.Run("no processor", func(t *testing.T) { waitedHere(t, "1000000000", time.Second) })
	t.Run("stopped", func(t *testing.T) { waitedHere(t, "0", 0) })
}

func waitedHere(t *testing.T, waited string, noCPU time.Duration) {
	t.Helper()
	w, wait := lateWorker(t)
	ep := w.relays[1].heard(SideA)
	h := packet.Header{SSRC: 7}
	take := func(n int, every time.Duration) {
		for range n {
			w.now += every
			h.Seq, h.Timestamp = h.Seq+1, h.Timestamp+160
			ep.count.RxPackets.Add(1)
			ep.stream.Observe(h, w.arrived(ep, h))
			ep.count.ofRTP().keep(&ep.stream, h)
		}
	}
	w.relays[1].ledger.codec[SideA].Store(quality.ImpairmentOf("PCMU"))
	take(100, 20*time.Millisecond)
	before := w.relays[1].ledger.stats(time.Time{}).A

	w.now += time.Second
	wait(waited)
	w.measure(w.now-time.Second, time.Second)
	take(50, 0) // all that waited
	w.now += 20 * time.Millisecond
	w.measure(w.now-20*time.Millisecond, 20*time.Millisecond)
	if w.late.since != 0 {
		t.Error("the worker waited for packets, and still counts as late")
	}
	take(100, 20*time.Millisecond)
	if got := w.relays[1].ledger.stats(time.Time{}).NoCPU; got != noCPU {
		t.Errorf("no processor for %v, want %v", got, noCPU)
	}
	is := w.relays[1].ledger.stats(time.Time{}).A
	if is.JitterMaxMS > 1.5 || is.Lost != 0 {
		t.Errorf("jitter %.1f ms at most, %d lost; want none of the network's", is.JitterMaxMS, is.Lost)
	}
	if is.LateHere < 35 || is.Late != is.LateHere {
		t.Errorf("%d late, %d of them here; want about 40, all here", is.Late, is.LateHere)
	}
	if is.MOS > before.MOS-0.5 {
		t.Errorf("MOS %.2f, before the stall %.2f; want it to take the late packets in", is.MOS, before.MOS)
	}
}

// TestOverflowIsOurs: packets that the kernel drops because a socket's buffer is full are lost here, and not in the
// network.
func TestOverflowIsOurs(t *testing.T) {
	to, err := openSocket(netip.MustParseAddrPort("127.0.0.1:0"), 0)
	must(t, err)
	defer closeSocket(to)
	name, err := unix.Getsockname(to)
	must(t, err)
	r := &relay{}
	r.init(1, [2]netip.AddrPort{}, [2]sockets{{int32(to), noSocket}, {noSocket, noSocket}}, nil)
	ep := r.heard(SideA)
	const sent = 1000
	for range sent {
		must(t, unix.Sendto(to, make([]byte, 172), 0, name))
	}
	var buf [bufferSize]byte
	var from sockaddr
	var got uint16
	for ; ; got++ {
		if _, errno := receive(int32(to), buf[:], &from); errno != 0 {
			break
		}
		ep.stream.Observe(packet.Header{SSRC: 7, Seq: got}, 0)
	}
	ep.overflows() // nothing is missing yet
	if n := ep.count.ofRTP().LostHere.Load(); n != 0 {
		t.Errorf("%d lost here, before the next packet shows a loss", n)
	}
	ep.stream.Observe(packet.Header{SSRC: 7, Seq: sent}, 0)
	ep.count.ofRTP().keep(&ep.stream, packet.Header{SSRC: 7})
	ep.overflows()
	is := r.ledger.stats(time.Time{}).A
	if want := uint64(sent - got); want == 0 || is.LostHere != want || is.Lost != want {
		t.Errorf("%d lost, %d of them here; want %d", is.Lost, is.LostHere, want)
	}
}
