package media

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/media/packet"
)

func TestOpenRefuses(t *testing.T) {
	good := Config{Listen: []netip.Addr{relayV4}, PortLow: 21000, PortHigh: 21099}
	for name, spoil := range map[string]func(*Config){
		"no address":             func(c *Config) { c.Listen = nil },
		"zero address":           func(c *Config) { c.Listen = []netip.Addr{{}} },
		"foreign address":        func(c *Config) { c.Listen = []netip.Addr{netip.MustParseAddr("192.0.2.1")} },
		"one pair":               func(c *Config) { c.PortHigh = 21002 },
		"reversed":               func(c *Config) { c.PortHigh = 20000 },
		"port zero":              func(c *Config) { c.PortLow = 0 },
		"negative timeout":       func(c *Config) { c.Timeout = -1 },
		"negative start timeout": func(c *Config) { c.StartTimeout = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if e, err := Open(cfg); err == nil {
			t.Errorf("%s: accepted", name)
			_ = e.Close()
		}
	}
}

func TestSilenceIsReportedOnce(t *testing.T) {
	e := openEngine(t, func(c *Config) { c.Timeout, c.StartTimeout = 60*time.Millisecond, 60*time.Millisecond })
	quiet, started := newBridge(t, e), newBridge(t, e)
	started.carries(rtpPacket(t, 0, 1, "x"))
	begin := time.Now()
	started.Start()
	if ev, ok := started.event(t).(EventLatched); !ok {
		t.Fatalf("got %+v; want a lock", ev)
	}
	ev, ok := started.event(t).(EventSilent)
	if !ok || ev.Since < e.config.Timeout || time.Since(begin) < e.config.Timeout {
		t.Errorf("got %+v after %v; want silence of %v or more", ev, time.Since(begin), e.config.Timeout)
	}
	// For a session that starts now, the time-out is later than a second report would
	// be.
	later := newBridge(t, e)
	later.Start()
	if ev, ok := later.event(t).(EventSilent); !ok {
		t.Errorf("got %+v; want silence without any RTP", ev)
	}
	if len(started.events) != 0 || len(quiet.events) != 0 {
		t.Errorf("%d events after silence, %d without a start; want none", len(started.events), len(quiet.events))
	}
}

func TestPortsGoBackOnce(t *testing.T) {
	e := openEngine(t, func(c *Config) { c.PortLow, c.PortHigh = 21000, 21009 })
	checkUsage := func(want int) {
		t.Helper()
		if used, total := e.ports.usage(); used != want || total != 5 {
			t.Errorf("%d of %d pairs in use; want %d of 5", used, total, want)
		}
	}
	first := newSession(t, e, SessionConfig{})
	newSession(t, e, SessionConfig{})
	checkUsage(4)
	if _, err := e.NewSession(SessionConfig{}); !errors.Is(err, errNoPorts) {
		t.Errorf("got %v; want ErrNoPorts", err)
	}
	checkUsage(4) // the odd pair was not leased
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { first.Close() })
	}
	wg.Wait()
	checkUsage(2)
	newSession(t, e, SessionConfig{})
	checkUsage(4)
	first.SetPeer(SideA, Peer{})
	first.Start()
	first.Close()
	checkUsage(4)
	if _, err := e.NewSession(SessionConfig{Addr: [2]netip.Addr{relayV4, netip.MustParseAddr("127.0.0.1")}}); !errors.Is(err, errAddress) {
		t.Errorf("got %v; want ErrAddress", err)
	}
}

func TestSkipsPortsOfOthers(t *testing.T) {
	var taken []*net.UDPConn
	for _, port := range []uint16{21000, 21003, 21006} { // RTP of the first pair, RTCP of the second, RTP of the third
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(relayV4, port)))
		must(t, err)
		taken = append(taken, c)
	}
	defer func() {
		for _, c := range taken {
			_ = c.Close()
		}
	}()
	e := openEngine(t, func(c *Config) { c.PortLow, c.PortHigh = 21000, 21009 })
	files := openFiles(t)
	s := newSession(t, e, SessionConfig{})
	got := [2]uint16{s.Local(SideA).Port(), s.Local(SideB).Port()}
	if got != [2]uint16{21004, 21008} && got != [2]uint16{21008, 21004} {
		t.Errorf("got ports %v; want 21004 and 21008", got)
	}
	if _, err := e.NewSession(SessionConfig{}); !errors.Is(err, errNoPorts) {
		t.Errorf("got %v; want ErrNoPorts", err)
	}
	s.Close()
	if used, _ := e.ports.usage(); used != 0 || openFiles(t)-restingSockets(e) != files {
		t.Errorf("%d pairs in use and %d descriptors more, %d at rest; want none but those", used, openFiles(t)-files, restingSockets(e))
	}
}

func TestOutOfDescriptors(t *testing.T) {
	e := openEngine(t, nil)
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	files := openFiles(t)
	low := limit
	low.Cur = uint64(files) + 50
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	var fill []int
	for fd, err := unix.Dup(0); err == nil; fd, err = unix.Dup(0) {
		fill = append(fill, fd)
	}
	const room = 3 // enough for one side of a session and half of the other
	for _, fd := range fill[:room] {
		closeSocket(fd)
	}
	_, err := e.NewSession(SessionConfig{})
	for _, fd := range fill[room:] {
		closeSocket(fd)
	}
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("got %v; want EMFILE", err)
	}
	if used, _ := e.ports.usage(); used != 0 || openFiles(t)-restingSockets(e) != files {
		t.Errorf("%d pairs in use and %d descriptors more, %d at rest; want none but those", used, openFiles(t)-files, restingSockets(e))
	}
	newSession(t, e, SessionConfig{})
}

func TestCloseLeavesNothing(t *testing.T) {
	newClient(t, "127.0.0.1:0") // opens the runtime's own descriptors before they are counted
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	e := openEngine(t, func(c *Config) { c.Workers = 2 })
	var sessions []*Session
	for range 10 {
		s, err := e.NewSession(SessionConfig{})
		must(t, err)
		sessions = append(sessions, s)
	}
	var wg sync.WaitGroup
	for _, s := range sessions {
		wg.Go(func() {
			s.SetPeer(SideA, Peer{RTP: netip.MustParseAddrPort("127.0.0.1:4000")})
			s.Start()
			s.Close()
		})
		wg.Go(func() { _, _ = e.NewSession(SessionConfig{}) })
		wg.Go(func() { _ = e.Close() })
	}
	wg.Wait()
	if _, err := e.NewSession(SessionConfig{}); !errors.Is(err, errClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
	sessions[0].SetPeer(SideA, Peer{})
	sessions[0].Close()
	if used, _ := e.ports.usage(); used != 0 {
		t.Errorf("%d pairs in use", used)
	}
	if n := openFiles(t); n != files {
		t.Errorf("%d descriptors; want %d", n, files)
	}
	await(t, "the goroutines' end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestSessionsStayApart opens and closes sessions while others carry packets, so
// that descriptor numbers are reused all the time. Each packet carries the number of
// its session and must come from that session's port.
func TestSessionsStayApart(t *testing.T) {
	e := openEngine(t, func(c *Config) { c.PortHigh = 21039 })
	const callers, calls = 6, 30
	var wg sync.WaitGroup
	for caller := range callers {
		a, b := newClient(t, "127.0.1.1:0"), newClient(t, "127.0.2.1:0")
		wg.Go(func() {
			made := make(map[uint32]netip.AddrPort) // number to port
			for call := range calls {
				mark := uint32(caller*calls + call)
				s, err := e.NewSession(SessionConfig{})
				if err != nil {
					t.Error(err)
					return
				}
				made[mark] = s.Local(SideB)
				s.SetPeer(SideA, Peer{RTP: a.addr})
				s.SetPeer(SideB, Peer{RTP: b.addr})
				for seq := range uint16(12) {
					pkt := rtpPacket(t, 0, seq, "0000")
					binary.BigEndian.PutUint32(pkt[packet.HeaderLen:], mark)
					if _, err := a.conn.WriteToUDPAddrPort(pkt, s.Local(SideA)); err != nil {
						t.Error(err)
					}
				}
				s.Close() // while it carries packets
				checkOrigin(t, b, made)
			}
		})
	}
	wg.Wait()
	if used, _ := e.ports.usage(); used != 0 {
		t.Errorf("%d pairs in use", used)
	}
}

// checkOrigin reads the packets that c has received. Each must come from the port of
// the session whose number it carries.
func checkOrigin(t *testing.T, c *client, made map[uint32]netip.AddrPort) {
	t.Helper()
	var buf [64]byte
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, src, err := c.conn.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			return
		}
		src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
		mark := binary.BigEndian.Uint32(buf[packet.HeaderLen:n])
		if want, ok := made[mark]; !ok || src != want {
			t.Errorf("%v got a packet of session %d from %v; want it from %v", c.addr, mark, src, want)
		}
	}
}

// A worker that is woken before it has a socket keeps running.
func TestCommandBeforeAnySocket(t *testing.T) {
	w, err := newWorker(time.Now(), silenceLimits{start: time.Second, mid: time.Second})
	must(t, err)
	must(t, w.do(command{op: opStart, relay: &relay{}}))
	w.stop()
}

// A peer elsewhere can't make the engine send media to a service at our own address.
func TestPeerAtOurAddress(t *testing.T) {
	ours := netip.MustParseAddr("192.0.2.55")
	nat := netip.MustParseAddr("198.51.100.9")
	e := openEngine(t, func(c *Config) { c.Advertised = []netip.Addr{nat} })
	e.locals = append(e.locals, ours) // an address like that of an interface
	for _, tt := range []struct {
		name string
		rtp  string
		peer Peer
		want bool
	}{
		{"elsewhere", "192.0.2.55:5060", Peer{Believed: prefixes("192.0.2.7/32")}, true},
		{"4-in-6", "[::ffff:192.0.2.55]:5060", Peer{}, true},
		{"on the same machine", "192.0.2.55:5060", Peer{Believed: prefixes("192.0.2.55/32")}, false},
		{"listed", "192.0.2.55:5060", Peer{Listed: prefixes("192.0.2.0/24")}, false},
		{"another address", "192.0.2.56:5060", Peer{}, false},
		{"behind the same NAT", "198.51.100.9:5060", Peer{}, false},
		{"loopback, in a test", relayV4.String() + ":5060", Peer{}, false},
		{"none", "", Peer{}, false},
	} {
		var rtp netip.AddrPort
		if tt.rtp != "" {
			rtp = netip.MustParseAddrPort(tt.rtp)
		}
		if got := e.forbids(tt.peer, rtp); got != tt.want {
			t.Errorf("%s: forbidden %v; want %v", tt.name, got, tt.want)
		}
	}
}
