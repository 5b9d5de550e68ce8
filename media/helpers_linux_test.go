package media

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"golang.org/x/sys/unix"
)

// patience ends a test that hangs. A test that works takes less time on any machine.
const patience = time.Minute

var (
	relayV4 = netip.MustParseAddr("127.77.0.1")
	relayV6 = netip.MustParseAddr("::1")
)

// openEngine opens an engine whose sessions are carried by the path under test.
func openEngine(tb testing.TB, change func(*Config)) *Engine {
	tb.Helper()
	cfg := Config{Listen: []netip.Addr{relayV4, relayV6}, PortLow: 21000, PortHigh: 21999, path: path.path, Kernel: path.kernel}
	if change != nil {
		change(&cfg)
	}
	e, err := Open(cfg)
	must(tb, err)
	tb.Cleanup(func() {
		_ = e.Close()
		checkAudits(tb)
	})
	return e
}

func newSession(tb testing.TB, e *Engine, sc SessionConfig) *Session {
	tb.Helper()
	s, err := e.NewSession(sc)
	must(tb, err)
	tb.Cleanup(func() { s.Close() })
	return s
}

// client is an endpoint of a call's side: a plain UDP socket.
type client struct {
	t    testing.TB
	conn *net.UDPConn
	addr netip.AddrPort
}

func newClient(tb testing.TB, addr string) *client {
	tb.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
	must(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return &client{t: tb, conn: conn, addr: netip.AddrPortFrom(local.Addr().Unmap(), local.Port())}
}

func (c *client) send(to netip.AddrPort, pkt []byte) {
	c.t.Helper()
	if _, err := c.conn.WriteToUDPAddrPort(pkt, to); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads one packet, which must be want and come from the given address.
func (c *client) expect(from netip.AddrPort, want []byte) {
	c.t.Helper()
	got, src := c.read()
	if !bytes.Equal(got, want) {
		c.t.Fatalf("%v got % x; want % x", c.addr, got, want)
	}
	if src != from {
		c.t.Fatalf("%v got a packet from %v; want %v", c.addr, src, from)
	}
}

func (c *client) read() ([]byte, netip.AddrPort) {
	c.t.Helper()
	buf := make([]byte, 4096)
	must(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	n, src, err := c.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		c.t.Fatalf("%v: %v", c.addr, err)
	}
	return buf[:n], netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
}

// expectNothing checks that no packet has arrived.
func (c *client) expectNothing() {
	c.t.Helper()
	must(c.t, c.conn.SetReadDeadline(time.Now()))
	var buf [64]byte
	if n, src, err := c.conn.ReadFromUDPAddrPort(buf[:]); err == nil {
		c.t.Fatalf("%v got % x from %v; want nothing", c.addr, buf[:n], src)
	}
}

func rtpPacket(tb testing.TB, payloadType uint8, seq uint16, payload string) []byte {
	tb.Helper()
	p := rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: payloadType, SequenceNumber: seq, Timestamp: uint32(seq) * 160, SSRC: 0xcafe0001},
		Payload: []byte(payload),
	}
	b, err := p.Marshal()
	must(tb, err)
	return b
}

// sourcePacket returns audio of 20 ms from a source, with a timestamp that fits its number.
func sourcePacket(tb testing.TB, ssrc uint32, seq uint16) []byte {
	tb.Helper()
	pkt := rtpPacket(tb, 0, seq, "audio")
	binary.BigEndian.PutUint32(pkt[8:12], ssrc)
	return pkt
}

func rtcpPacket(tb testing.TB, ssrc uint32) []byte {
	tb.Helper()
	b, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{SSRC: ssrc, PacketCount: 7},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x@y"}}}}},
	})
	must(tb, err)
	return b
}

// await polls until ok returns true, if there is no event to wait for.
func await(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			tb.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// openFiles counts the process's descriptors. It leaves out those of the kernel relay, which has more of them when an
// interface appears, and the test log of an earlier path, which the garbage collector closes.
func openFiles(tb testing.TB) int {
	tb.Helper()
	return len(filesOpen(tb))
}

// filesOpen returns the targets of the process's descriptors. It leaves out the sockets by which the kernel relay looks
// up interfaces and routes, because the relay opens and closes them at any time.
func filesOpen(tb testing.TB) (all []string) {
	tb.Helper()
	const dir = "/proc/self/fd/"
	names, err := os.ReadDir(dir)
	must(tb, err)
	for _, name := range names {
		to, err := os.Readlink(dir + name.Name())
		if fd, _ := strconv.Atoi(name.Name()); err != nil || isNetlink(fd) {
			continue // it has been closed in the meantime, or will be soon
		}
		if !strings.HasPrefix(to, "anon_inode:b") && !strings.HasSuffix(to, "/testlog.txt") { // bpf-map, bpf_link, btf
			all = append(all, to)
		}
	}
	return all
}

// isNetlink reports whether a descriptor is a netlink socket.
func isNetlink(fd int) bool {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && family == unix.AF_NETLINK
}

// newRelay returns a relay without an engine.
func newRelay(id uint64, local [2]netip.AddrPort, fds [2]sockets, onEvent func(Event)) *relay {
	r := &relay{own: func(netip.AddrPort) bool { return false }}
	r.init(id, local, fds, onEvent)
	return r
}

func rtcpOf(a netip.AddrPort) netip.AddrPort { return portAbove(a) }

// bridge is a session between two clients, whose addresses are those in the SDP.
type bridge struct {
	*Session
	a, b   *client
	events chan Event
	sent   uint16 // number of packets that side B has sent in hears
}

// carries makes side A send a packet, which must arrive at side B unchanged.
func (b *bridge) carries(pkt []byte) {
	b.a.t.Helper()
	b.a.send(b.Local(SideA), pkt)
	b.b.expect(b.Local(SideB), pkt)
}

func newBridge(tb testing.TB, e *Engine) *bridge {
	tb.Helper()
	br := &bridge{a: newClient(tb, "127.0.1.1:0"), b: newClient(tb, "127.0.2.1:0"), events: make(chan Event, 16)}
	br.Session = newSession(tb, e, SessionConfig{OnEvent: func(ev Event) { br.events <- ev }})
	br.SetPeer(SideA, Peer{RTP: br.a.addr})
	br.SetPeer(SideB, Peer{RTP: br.b.addr})
	return br
}

func (br *bridge) event(t *testing.T) Event {
	t.Helper()
	select {
	case ev := <-br.events:
		return ev
	case <-time.After(patience):
		t.Fatal("no event")
		return nil
	}
}
