package media

import (
	"net/netip"
	"testing"
	"time"
)

// steeredCall is a call whose RTP the kernel relays in both directions.
type steeredCall struct {
	*bridge
	aRTCP, bRTCP *client
	at           [2]netip.AddrPort // where each side sends its RTP
}

func newSteeredCall(t *testing.T, e *Engine) *steeredCall {
	t.Helper()
	addr, host := e.config.Listen[0], "127.0.1.1:0"
	if addr.Is6() {
		host = "[::1]:0"
	}
	c := &steeredCall{bridge: &bridge{a: newClient(t, host), b: newClient(t, host)}, aRTCP: newClient(t, host), bRTCP: newClient(t, host)}
	c.Session = newSession(t, e, SessionConfig{})
	c.SetPeer(SideA, Peer{RTP: c.a.addr, RTCP: c.aRTCP.addr})
	c.SetPeer(SideB, Peer{RTP: c.b.addr, RTCP: c.bRTCP.addr})
	if addr.IsUnspecified() {
		addr = netip.MustParseAddr("127.0.0.1") // answers come from this address
	}
	for side := range c.at {
		c.at[side] = netip.AddrPortFrom(addr, c.Local(Side(side)).Port())
	}
	c.speak(t, 1)
	await(t, "the kernel has both flows", c.inKernel)
	return c
}

// inKernel reports whether the kernel has both flows.
func (c *steeredCall) inKernel() bool { return isInKernel(c.at[SideA]) && isInKernel(c.at[SideB]) }

// speak makes each side send a packet.
func (c *steeredCall) speak(t *testing.T, seq uint16) {
	t.Helper()
	there, back := sourcePacket(t, 1, seq), sourcePacket(t, 2, seq)
	c.a.send(c.at[SideA], there)
	c.b.expect(c.at[SideB], there)
	c.b.send(c.at[SideB], back)
	c.a.expect(c.at[SideA], back)
}

func (c *steeredCall) report(t *testing.T) {
	t.Helper()
	there, back := rtcpPacket(t, 1), rtcpPacket(t, 2)
	c.aRTCP.send(rtcpOf(c.at[SideA]), there)
	c.bRTCP.expect(rtcpOf(c.at[SideB]), there)
	c.bRTCP.send(rtcpOf(c.at[SideB]), back)
	c.aRTCP.expect(rtcpOf(c.at[SideA]), back)
}

// A session in the kernel has no sockets. Its reports pass, and packets of strangers are counted. The first command
// reopens the sockets.
func TestSteeredSession(t *testing.T) {
	onKernelPath(t)
	for name, addr := range map[string]netip.Addr{"IPv4": relayV4, "IPv6": relayV6, "all of IPv4": netip.IPv4Unspecified()} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			e := openEngine(t, func(c *Config) { c.Listen = []netip.Addr{addr} })
			c := newSteeredCall(t, e)
			files := openFiles(t)
			e.tend(e.now() + steerAfter/2)
			if c.steered.Load() || openFiles(t) != files {
				t.Fatal("steered too early")
			}
			e.tend(e.now() + steerAfter + time.Second)
			if n := openFiles(t); !c.steered.Load() || n != files-4 {
				t.Fatalf("steered %v, %d sockets closed; want 4", c.steered.Load(), files-n)
			}
			c.speak(t, 2)
			if a, b := c.relayedThere(SideA), c.relayedThere(SideB); a != 1 || b != 1 {
				t.Errorf("the kernel has relayed %d and %d packets; want 1 of each side", a, b)
			}
			c.report(t)
			newClient(t, netip.AddrPortFrom(c.a.addr.Addr(), 0).String()).send(c.at[SideA], sourcePacket(t, 9, 1))
			await(t, "the stranger", func() bool { return c.Stats().A.Dropped.WrongSource == 1 })
			c.speak(t, 3)

			c.SetPayloads(SideA, []PayloadChange{{From: 0, To: 8}})
			if n := openFiles(t); c.steered.Load() || n != files+1 { // one more for the stranger
				t.Errorf("steered %v, %d sockets closed after an order; want none", c.steered.Load(), files+1-n)
			}
			c.a.send(c.at[SideA], sourcePacket(t, 1, 4))
			if got, _ := c.b.read(); got[1] != 8 {
				t.Errorf("payload type %d after the order; want 8", got[1])
			}
			c.report(t)
			st := c.Close()
			if a, b := st.A, st.B; a.RxPackets != 4 || b.RxPackets != 3 || a.Lost+b.Lost != 0 || a.RxRTCP != 2 || b.RxRTCP != 2 || a.DroppedTotal != 1 || b.DroppedTotal != 0 {
				t.Errorf("A %+v\nB %+v", a, b)
			}
		})
	}
}

// A packet that brings a flow back is relayed first, and then the sockets are reopened, too.
func TestSteeredSessionWakes(t *testing.T) {
	onKernelPath(t)
	e := openEngine(t, nil)
	c := newSteeredCall(t, e)
	c.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101})
	c.speak(t, 2)
	await(t, "the kernel has both flows", c.inKernel)
	e.tend(e.now() + steerAfter + time.Second)
	if !c.steered.Load() {
		t.Fatal("not steered")
	}
	key := rtpPacket(t, 101, 4, "\x05\x0a\x00\xa0") // the key is still pressed, so the flow is not offloaded again
	key[11] = 1
	copy(key[8:11], []byte{0, 0, 0})
	c.speak(t, 3)
	if n := c.relayedThere(SideA); n != 1 {
		t.Errorf("the kernel has relayed %d packets; want 1", n)
	}
	c.a.send(c.at[SideA], key)
	c.b.expect(c.at[SideB], key)
	if n := c.relay.offloaded.Load(); n != 1 {
		t.Errorf("the kernel has %d flows during a key; want 1", n)
	}
	e.tend(e.now())
	if c.steered.Load() {
		t.Error("still steered")
	}
	c.speak(t, 5)
	if st := c.Close(); st.A.RxPackets != 5 || st.A.Lost != 0 {
		t.Errorf("got %+v", st.A)
	}
}

// When a steered session is closed, its ports are free.
func TestSteeredSessionCloses(t *testing.T) {
	onKernelPath(t)
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.Listen, c.PortLow, c.PortHigh = []netip.Addr{relayV4}, 21000, 21003 })
	for range 3 {
		c := newSteeredCall(t, e)
		e.tend(e.now() + steerAfter + time.Second)
		if !c.steered.Load() {
			t.Fatal("not steered")
		}
		c.speak(t, 2)
		if n := c.relayedThere(SideA); n != 1 {
			t.Errorf("the kernel has relayed %d packets; want 1", n)
		}
		if st := c.Close(); st.A.RxPackets != 2 || st.B.RxPackets != 2 {
			t.Errorf("got %+v", st)
		}
		if used, _ := e.Ports(); used != 0 {
			t.Errorf("%d pairs in use", used)
		}
		c.a.send(c.at[SideA], sourcePacket(t, 1, 3))
		c.b.expectNothing()
	}
}

// No packet is lost when the ports of a session are steered, whether it arrives at the session's own sockets or at the
// shared ones, and whatever else happens to the session at the same time.
func TestSteeringBegins(t *testing.T) {
	onKernelPath(t)
	begin := func(t *testing.T) (*Engine, *steeredCall, []*Session) {
		t.Helper()
		noLeaks(t)
		e := openEngine(t, func(c *Config) { c.Listen, c.PortLow, c.PortHigh = []netip.Addr{relayV4}, 21000, 21003 })
		c := newSteeredCall(t, e)
		c.report(t)
		parting := e.beginSteering([]*Session{c.Session}, e.now())
		if len(parting) != 1 || c.steered.Load() {
			t.Fatalf("%d sessions are parting, steered %v", len(parting), c.steered.Load())
		}
		return e, c, parting
	}
	t.Run("reports come", func(t *testing.T) {
		e, c, parting := begin(t)
		for range 10 {
			c.report(t)
			c.speak(t, 2)
		}
		e.steer(parting)
		if !c.steered.Load() {
			t.Error("not steered")
		}
		c.report(t)
		if st := c.Close(); st.A.RxRTCP != 12 || st.B.RxRTCP != 12 {
			t.Errorf("%d and %d reports; want 12", st.A.RxRTCP, st.B.RxRTCP)
		}
	})
	t.Run("an order comes", func(t *testing.T) {
		e, c, parting := begin(t)
		c.SetPayloads(SideA, []PayloadChange{{From: 0, To: 8}})
		e.steer(parting)
		if c.steered.Load() {
			t.Error("steered, though its flows have come back")
		}
		c.report(t)
		c.a.send(c.at[SideA], sourcePacket(t, 1, 4))
		if got, _ := c.b.read(); got[1] != 8 {
			t.Errorf("payload type %d after the order; want 8", got[1])
		}
	})
	t.Run("it is closed", func(t *testing.T) {
		e, c, parting := begin(t)
		c.Close()
		e.steer(parting)
		if c.steered.Load() {
			t.Error("steered, though it is closed")
		}
		other := newSteeredCall(t, e) // a call on the same ports
		other.report(t)
	})
}

// If descriptors are scarce, sessions are steered as soon as the kernel has both flows.
func TestSteersAtOnceWhereDescriptorsAreScarce(t *testing.T) {
	onKernelPath(t)
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.Listen = []netip.Addr{relayV4} })
	one, other := newSteeredCall(t, e), newSteeredCall(t, e)
	quiet := newSession(t, e, SessionConfig{}) // a session without packets
	const has = 4 * 3
	e.files = 4 * (has + 4) / steerAtOnceShare
	e.tend(e.now())
	if one.steered.Load() || other.steered.Load() {
		t.Fatalf("steered with %d sockets of %d", has, e.files)
	}
	e.files = 4 * has / steerAtOnceShare
	e.tend(e.now())
	if !one.steered.Load() || !other.steered.Load() || quiet.steered.Load() {
		t.Fatalf("steered: %v, %v, without packets %v; want the first two", one.steered.Load(), other.steered.Load(), quiet.steered.Load())
	}
	for _, c := range []*steeredCall{one, other} {
		c.speak(t, 2)
		c.report(t)
		if st := c.Close(); st.A.RxPackets != 2 || st.B.RxPackets != 2 || st.A.Lost+st.B.Lost != 0 || st.A.DroppedTotal+st.B.DroppedTotal != 0 {
			t.Errorf("A %+v\nB %+v", st.A, st.B)
		}
	}
}

// If descriptors are scarce, sessions whose flows come back continue without sockets of their own.
func TestSessionsWakeInTurns(t *testing.T) {
	onKernelPath(t)
	noLeaks(t)
	e := openEngine(t, func(c *Config) { c.Listen = []netip.Addr{relayV4} })
	var calls []*steeredCall
	for range 6 {
		calls = append(calls, newSteeredCall(t, e))
	}
	e.tend(e.now() + steerAfter + time.Second)
	awake := func() (n int) {
		for _, c := range calls {
			if !c.steered.Load() {
				n++
			}
		}
		return n
	}
	if n := awake(); n != 0 || int(e.awake.Load()) != n {
		t.Fatalf("%d of %d are not steered, %d are counted", n, len(calls), e.awake.Load())
	}
	const room = 2
	e.files = (4*room + 2*e.ports.atRest()) * 4 / socketsShare
	for _, c := range calls {
		c.SetTap(&witness{}) // brings the flows back
		if n := c.relay.offloaded.Load(); n != 0 {
			t.Errorf("the kernel has %d flows of a call with a tap", n)
		}
	}
	e.tend(e.now())
	if n := awake(); n != room || int(e.awake.Load()) != n {
		t.Errorf("%d are awake, %d are counted; want %d", n, e.awake.Load(), room)
	}
	for _, c := range calls {
		c.speak(t, 2)
		c.report(t)
		c.SetTap(nil)
		c.speak(t, 3)
		if st := c.Close(); st.A.RxPackets != 3 || st.B.RxPackets != 3 || st.A.Lost+st.B.Lost != 0 || st.A.DroppedTotal+st.B.DroppedTotal != 0 {
			t.Errorf("A %+v\nB %+v", st.A, st.B)
		}
	}
	if n := e.awake.Load(); n != 0 {
		t.Errorf("%d sessions are counted as awake after all are closed", n)
	}
}
