package media

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/media/packet"
)

// network is two network namespaces, joined by a cable: an interface that can go
// down or be slow. The test and the relay run in the near namespace.
type network struct {
	t   *testing.T
	far chan func() // functions to run in the far namespace
}

// The ends of the cable.
var (
	nearEnd = netip.MustParseAddr("10.77.0.1")
	farEnd  = netip.MustParseAddr("10.77.0.2")
)

// inNetwork runs f in a new network. The network ends with f, and so do all sockets
// that were opened in it.
func inNetwork(t *testing.T, f func(*testing.T, *network)) {
	t.Helper()
	for _, tool := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(tool); err != nil || os.Geteuid() != 0 {
			t.Skip("needs root, for network namespaces, and ip and tc")
		}
	}
	t.Run("in a network", func(t *testing.T) { // runs in a goroutine of its own
		if err := isolate(); err != nil {
			t.Skipf("needs network namespaces: %v", err)
		}
		n := &network{t: t, far: make(chan func())}
		n.open()
		n.run("ip", "link", "set", "lo", "up")
		n.run("ip", "addr", "add", nearEnd.String()+"/24", "dev", "near")
		n.run("ip", "link", "set", "near", "up")
		n.await()
		f(t, n)
	})
}

// isolate puts the goroutine's thread into a new network namespace. The thread ends
// with the goroutine, because it stays locked.
func isolate() error {
	runtime.LockOSThread()
	return os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET))
}

// open makes the far namespace and the cable.
func (n *network) open() {
	n.t.Helper()
	ended, isolated := make(chan struct{}), make(chan error)
	go func() {
		defer close(ended)
		isolated <- isolate()
		for do := range n.far {
			do()
		}
	}()
	err := <-isolated
	n.t.Cleanup(func() {
		close(n.far)
		<-ended
	})
	must(n.t, err)
	thread := make(chan int)
	n.far <- func() { thread <- unix.Gettid() }
	n.run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", fmt.Sprint(<-thread))
	n.runFar("ip", "addr", "add", farEnd.String()+"/24", "dev", "far")
	n.runFar("ip", "link", "set", "far", "up")
}

// await returns when the cable carries packets. That takes a while after both ends
// are up.
func (n *network) await() {
	n.t.Helper()
	near, far := newClient(n.t, netip.AddrPortFrom(nearEnd, 0).String()), n.client()
	await(n.t, "the cable", func() bool {
		near.send(far.addr, []byte("hello"))
		_ = far.conn.SetReadDeadline(time.Now().Add(20 * ms))
		_, err := far.conn.Read(make([]byte, 8))
		return err == nil
	})
}

func (n *network) run(command ...string) {
	n.t.Helper()
	if out, err := exec.CommandContext(n.t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

func (n *network) runFar(command ...string) {
	n.t.Helper()
	failed := make(chan error)
	n.far <- func() {
		out, err := exec.CommandContext(n.t.Context(), command[0], command[1:]...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		failed <- err
	}
	if err := <-failed; err != nil {
		n.t.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
}

// client returns a client at the far end.
func (n *network) client() *client {
	n.t.Helper()
	c, failed := &client{t: n.t}, make(chan error)
	n.far <- func() {
		var err error
		c.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(farEnd, 0)))
		failed <- err
	}
	must(n.t, <-failed)
	n.t.Cleanup(func() { _ = c.conn.Close() })
	c.addr = c.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return c
}

// call returns a session between a client beside the relay and one at the far end.
func (n *network) call(e *Engine) *bridge {
	n.t.Helper()
	br := &bridge{a: newClient(n.t, "127.0.1.1:0"), b: n.client()}
	br.Session = newSession(n.t, e, SessionConfig{Addr: [2]netip.Addr{relayV4, nearEnd}})
	br.SetPeer(SideA, Peer{RTP: br.a.addr})
	br.SetPeer(SideB, Peer{RTP: br.b.addr})
	return br
}

func (n *network) engine() *Engine {
	n.t.Helper()
	return openEngine(n.t, func(c *Config) { c.Listen = []netip.Addr{relayV4, nearEnd} })
}

// talk makes both sides send some packets, which must arrive. It returns the next
// number.
func (br *bridge) talk(seq uint16, n int) uint16 {
	br.a.t.Helper()
	for range n {
		there, back := rtpPacket(br.a.t, 0, seq, "there"), rtpPacket(br.a.t, 0, seq, "back")
		br.carries(there)
		br.b.send(br.Local(SideB), back)
		br.a.expect(br.Local(SideA), back)
		seq++
	}
	return seq
}

// lose makes side A send packets that do not arrive, until this many send errors
// were counted. It returns the next number.
func (br *bridge) lose(seq uint16, errors uint64) uint16 {
	br.a.t.Helper()
	for wanted := br.Stats().A.Dropped.SendError + errors; br.Stats().A.Dropped.SendError < wanted; seq++ {
		if seq > 20000 {
			br.a.t.Fatalf("%d errors after %d packets", br.Stats().A.Dropped.SendError, seq)
		}
		before := br.Stats().A.RxPackets
		br.a.send(br.Local(SideA), rtpPacket(br.a.t, 0, seq, strings.Repeat("x", 160)))
		await(br.a.t, "the packet", func() bool { return br.Stats().A.RxPackets > before })
	}
	return seq
}

// resume makes side A speak until side B hears it. By then all earlier packets have
// arrived, because packets on a cable keep their order. It returns the next number.
func (br *bridge) resume(seq uint16) uint16 {
	br.a.t.Helper()
	heard := make(chan uint16)
	_ = br.b.conn.SetReadDeadline(time.Now().Add(patience))
	go func() {
		buf := make([]byte, bufferSize)
		for {
			k, err := br.b.conn.Read(buf)
			if h, ok := packet.ParseRTP(buf[:max(k, 0)]); err != nil || (ok && h.Seq >= seq) {
				heard <- h.Seq
				return
			}
		}
	}()
	tick := time.NewTicker(20 * ms)
	defer tick.Stop()
	for next := seq; ; next++ {
		br.a.send(br.Local(SideA), rtpPacket(br.a.t, 0, next, "again"))
		select {
		case got := <-heard:
			for ; got < next; got++ {
				br.b.read()
			}
			return next + 1
		case <-tick.C:
		}
	}
}

// A cable is unplugged and plugged in again. Packets that can't be sent are
// counted, the other calls are not affected, and media continues as soon as it can.
func TestInterfaceGoesDown(t *testing.T) {
	inNetwork(t, func(t *testing.T, n *network) {
		noLeaks(t)
		e := n.engine()
		br, other := n.call(e), newBridge(t, e)
		seq := br.talk(1, 10)
		n.run("ip", "link", "set", "near", "down")
		seq = br.lose(seq, 20)
		other.talk(1, 20)
		n.run("ip", "link", "set", "near", "up")
		seq = br.resume(seq)
		br.talk(seq, 20)
		if d := br.Close().A.Dropped; d.SendError < 20 || d != (Drops{SendError: d.SendError}) {
			t.Errorf("dropped %+v", d)
		}
	})
}

// What is too long for the cable travels in fragments, both ways.
func TestFragments(t *testing.T) {
	inNetwork(t, func(t *testing.T, n *network) {
		noLeaks(t)
		br := n.call(n.engine())
		for seq := range uint16(10) {
			pkt := rtpPacket(t, 0, seq, strings.Repeat("x", maxPacket-packet.HeaderLen))
			br.carries(pkt)
			br.b.send(br.Local(SideB), pkt)
			br.a.expect(br.Local(SideA), pkt)
		}
	})
}

// The far end disappears without notice, and returns.
func TestFarEndGoesDown(t *testing.T) {
	inNetwork(t, func(t *testing.T, n *network) {
		noLeaks(t)
		br := n.call(n.engine())
		seq := br.talk(1, 10)
		n.runFar("ip", "link", "set", "far", "down")
		for range 20 {
			br.a.send(br.Local(SideA), rtpPacket(t, 0, seq, "to nobody"))
			seq++
		}
		await(t, "what is lost", func() bool { return br.Stats().A.RxPackets == 30 })
		n.runFar("ip", "link", "set", "far", "up")
		seq = br.resume(seq)
		br.talk(seq, 20)
	})
}

// An interface is so slow that the send buffer of a call is full. The call's
// packets are lost and counted, the worker does not wait, and other calls are not
// affected.
func TestSendBufferIsFull(t *testing.T) {
	inNetwork(t, func(t *testing.T, n *network) {
		noLeaks(t)
		e := n.engine()
		br, other := n.call(e), newBridge(t, e)
		seq := br.talk(1, 10)
		n.run("tc", "qdisc", "add", "dev", "near", "root", "tbf", "rate", "8kbit", "burst", "2k", "latency", "1000s")
		seq = br.lose(seq, 20)
		other.talk(1, 20)
		n.run("tc", "qdisc", "del", "dev", "near", "root")
		seq = br.resume(seq)
		br.talk(seq, 20)
	})
}
