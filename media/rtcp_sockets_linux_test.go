package media

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// later is when an RTCP socket at which nothing has arrived is closed.
const later = reportsWithin + time.Second

// rtcpSockets returns how many RTCP sockets a session has. It checks that the worker serves as many.
func rtcpSockets(t *testing.T, s *Session) (n int) {
	t.Helper()
	must(t, s.worker.do(command{op: opSync}))
	s.mu.Lock()
	defer s.mu.Unlock()
	for side, p := range s.pair {
		fd := s.relay.endpoint[side][RTCP].fd
		if fd != p.fd[RTCP] {
			t.Errorf("side %v: the worker has socket %d; want %d", Side(side), fd, p.fd[RTCP])
		}
		if fd >= 0 {
			n++
		}
	}
	return n
}

// refuses reports whether an address has no listener, according to ICMP.
func refuses(t *testing.T, to netip.AddrPort) bool {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	must(t, err)
	defer c.Close()
	if _, err := c.Write(rtcpPacket(t, 1)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * ms))
	_, err = c.Read(make([]byte, 1))
	return errors.Is(err, unix.ECONNREFUSED)
}

// After a while, a call without RTCP has two sockets, but its ports still belong to it. A new description reopens the
// RTCP port.
func TestRTCPSocketsCloseAndReopen(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.Listen, c.PortLow, c.PortHigh = []netip.Addr{relayV4}, 21000, 21003 })
	br := newBridge(t, e)
	aRTCP, bRTCP := newClient(t, "127.0.1.1:0"), newClient(t, "127.0.2.1:0")
	e.tend(e.now() + later)
	if n := rtcpSockets(t, br.Session); n != 2 {
		t.Errorf("%d RTCP sockets before the answer; want 2", n)
	}
	br.Start()
	e.tend(e.now())
	if n := rtcpSockets(t, br.Session); n != 2 {
		t.Errorf("%d RTCP sockets at the answer; want 2", n)
	}
	files := openFiles(t)
	e.tend(e.now() + later)
	if n := rtcpSockets(t, br.Session); n != 0 || openFiles(t) != files-2 {
		t.Errorf("%d RTCP sockets, %d closed; want none, and 2", n, files-openFiles(t))
	}
	if !refuses(t, rtcpOf(br.Local(SideA))) {
		t.Error("RTCP is not refused at a closed port")
	}
	if _, err := e.NewSession(SessionConfig{}); !errors.Is(err, errNoPorts) {
		t.Errorf("got %v; want no ports, for the closed ones are still the call's", err)
	}
	there, back := rtpPacket(t, 0, 1, "there"), rtpPacket(t, 0, 1, "back")
	br.carries(there)
	br.b.send(br.Local(SideB), back)
	br.a.expect(br.Local(SideA), back)

	br.SetPeer(SideA, Peer{RTP: br.a.addr, RTCP: aRTCP.addr}) // a re-INVITE reopens both sides' RTCP
	br.SetPeer(SideB, Peer{RTP: br.b.addr, RTCP: bRTCP.addr})
	if n := rtcpSockets(t, br.Session); n != 2 {
		t.Errorf("%d RTCP sockets after a new description; want 2", n)
	}
	report := rtcpPacket(t, 1)
	aRTCP.send(rtcpOf(br.Local(SideA)), report)
	bRTCP.expect(rtcpOf(br.Local(SideB)), report)
	e.tend(e.now() + later)
	if n := rtcpSockets(t, br.Session); n != 2 {
		t.Errorf("%d RTCP sockets where one side sends reports; want 2", n)
	}
	bRTCP.send(rtcpOf(br.Local(SideB)), report)
	aRTCP.expect(rtcpOf(br.Local(SideA)), report)

	ports := [2]uint16{br.Local(SideA).Port(), br.Local(SideB).Port()}
	br.Close()
	next := newSession(t, e, SessionConfig{})
	if got := [2]uint16{next.Local(SideA).Port(), next.Local(SideB).Port()}; got != ports && got != [2]uint16{ports[1], ports[0]} {
		t.Errorf("ports %v; want %v", got, ports)
	}
}

// A pair whose RTCP socket was closed gets one again in its next call.
func TestNextCallHasRTCP(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.Listen, c.PortLow, c.PortHigh = []netip.Addr{relayV4}, 21000, 21003 })
	first := newSession(t, e, SessionConfig{})
	first.Start()
	e.tend(e.now() + later)
	if n := rtcpSockets(t, first); n != 0 {
		t.Fatalf("%d RTCP sockets; want none", n)
	}
	first.Close()
	if n := restingSockets(e); n != 2 {
		t.Errorf("%d sockets rest; want 2", n)
	}
	if n := rtcpSockets(t, newSession(t, e, SessionConfig{})); n != 2 {
		t.Errorf("%d RTCP sockets; want 2", n)
	}
}

// If another program has taken a closed RTCP port, RTP continues, and the pair is returned after the call.
func TestRTCPPortIsTaken(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.Listen, c.PortLow, c.PortHigh = []netip.Addr{relayV4}, 21000, 21005 })
	br := newBridge(t, e)
	br.Start()
	e.tend(e.now() + later)
	taken := newClient(t, rtcpOf(br.Local(SideA)).String())
	br.SetPeer(SideA, Peer{RTP: br.a.addr})
	if n := rtcpSockets(t, br.Session); n != 0 {
		t.Errorf("%d RTCP sockets; want none", n)
	}
	br.carries(rtpPacket(t, 0, 1, "x"))
	port := br.Local(SideA).Port()
	br.Close()
	s := newSession(t, e, SessionConfig{})
	if s.Local(SideA).Port() == port || s.Local(SideB).Port() == port {
		t.Error("a pair was used whose RTCP port another program has")
	}
	s.Close()
	_ = taken.conn.Close()
}

// A side with RTCP on its RTP port has no RTCP socket. The other side's stays.
func TestMuxedSideHasNoRTCPSocket(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.Listen = []netip.Addr{relayV4} })
	br := newBridge(t, e)
	bRTCP := newClient(t, "127.0.2.1:0")
	br.SetPeer(SideA, Peer{RTP: br.a.addr, Mux: true})
	br.SetPeer(SideB, Peer{RTP: br.b.addr, RTCP: bRTCP.addr})
	e.tend(e.now())
	if n := rtcpSockets(t, br.Session); n != 1 || br.pair[SideA].fd[RTCP] >= 0 {
		t.Errorf("%d RTCP sockets, %+v; want one, of side b", n, br.pair)
	}
	speech, report := rtpPacket(t, 0, 1, "x"), rtcpPacket(t, 1)
	br.carries(speech)
	br.a.send(br.Local(SideA), report)
	bRTCP.expect(rtcpOf(br.Local(SideB)), report)
	bRTCP.send(rtcpOf(br.Local(SideB)), report)
	br.a.expect(br.Local(SideA), report)
	br.SetPeer(SideA, Peer{RTP: br.a.addr}) // RTCP does not share the port any more
	if n := rtcpSockets(t, br.Session); n != 2 {
		t.Errorf("%d RTCP sockets without mux; want 2", n)
	}
}

// Sessions are closed and described again while their RTCP sockets are being closed. No session's socket is read or
// closed by mistake: the engine ends with as many descriptors as it began with, and calls carry packets all the time.
func TestRTCPSocketsCloseBesideEverything(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.Listen, c.PortLow, c.PortHigh = []netip.Addr{relayV4}, 21000, 21039 })
	stop, tended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(tended)
		for {
			select {
			case <-stop:
				return
			default:
				e.closeSilent(e.now() + later)
			}
		}
	}()
	for seq := range uint16(100) {
		br := newBridge(t, e)
		br.Start()
		br.carries(rtpPacket(t, 0, seq, "x"))
		br.SetPeer(SideA, Peer{RTP: br.a.addr, Mux: seq%3 == 0})
		br.SetPeer(SideB, Peer{RTP: br.b.addr})
		br.a.send(br.Local(SideA), rtpPacket(t, 0, seq+1, "y"))
		br.b.read()
		if st := br.Close(); st.A.RxPackets != 2 || st.A.DroppedTotal != 0 {
			t.Errorf("call %d: %+v", seq, st.A)
		}
		_ = br.a.conn.Close()
		_ = br.b.conn.Close()
	}
	close(stop)
	<-tended
}
