package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
	"flowbridge/internal/memnet"
	"flowbridge/sim/siptest"
)

// minter makes tags and branches with the tests' key.
var minter = message.NewMinter([32]byte{1, 2, 3})

const stackConfig = `
sip: {listen: ["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"]}
targets:
  - {name: agent, kind: sip, transport: tcp, uri: "sip:1@192.0.2.20:32681"}
routes:
  - {targets: [agent]}
`

// host is a stack's owner that knows every dialog, and answers every request with 200 unless the test handles requests
// itself.
type host struct {
	*peers.Admission
	cfg    *config.Config
	stack  *Stack
	panics atomic.Int32

	pending bool                                    // treats every INVITE as known
	takes   func(*sip.Request, *transaction.Server) // called with each request instead of answering it, if not nil
}

func (h *host) Peers() *peers.Snapshot { return h.Admission.Peers.Load() }

// InDialog reports true for every tag, except for one tag with which it panics.
func (h *host) InDialog(tag []byte) bool {
	if string(tag) == panics {
		panic("as the test wants")
	}
	return true
}

const panics = "panics"

func (h *host) InProgress(message.Minted) bool { return h.pending }
func (h *host) StrayResponse(*sip.Response)    {}
func (h *host) Panicked(string, any)           { h.panics.Add(1) }

func (h *host) Request(req *sip.Request, tx *transaction.Server) {
	if h.takes != nil {
		h.takes(req, tx)
		return
	}
	h.stack.Reply(req, tx, 200, "OK")
}

// newHost returns a host with a stack that opens creates.
func newHost(t testing.TB, yaml string, n Network, opens func(context.Context, Options) (*Stack, error)) *host {
	t.Helper()
	h := &host{}
	h.cfg = parsed(t, yaml)
	h.Admission = peers.NewAdmission(h.cfg, nil)
	var err error
	h.stack, err = opens(t.Context(), Options{
		Config: h.cfg.SIP, Minter: minter, Handler: h, Log: zerolog.Nop(), Network: n,
	})
	must(t, err)
	return h
}

func parsed(t testing.TB, yaml string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(yaml), func(string) (string, bool) { return "secret", true })
	must(t, err)
	return cfg
}

// place is a host with its stack on a network in memory.
type place struct {
	*host
	t     *testing.T
	sw    *memnet.Switch
	dials atomic.Int32 // number of connections that the stack opened or tried to open
	asked int
}

// inPlace runs a test with a place in a bubble. When the test ends, no goroutine may be left.
func inPlace(t *testing.T, yaml string, test func(p *place)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &place{t: t, sw: memnet.New()}
		p.host = newHost(t, yaml, Network{
			Listen:       func(a netip.AddrPort) (Socket, error) { return p.sw.Listen(a) },
			ListenStream: func(a netip.AddrPort) (net.Listener, error) { return p.sw.ListenStream(a) },
			Dial: func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
				p.dials.Add(1)
				return p.sw.DialStream(ctx, from, to)
			},
		}, Listen)
		p.stack.Serve()
		defer func() {
			if err := p.stack.Close(); err != nil {
				t.Error(err)
			}
			if n := p.panics.Load(); n != 0 {
				t.Errorf("%d panics", n)
			}
		}()
		test(p)
	})
}

// socket returns a peer's socket, which is closed with the test.
func (p *place) socket(at netip.AddrPort) *memnet.Conn {
	p.t.Helper()
	c, err := p.sw.Listen(at)
	must(p.t, err)
	p.t.Cleanup(func() { c.Close() })
	return c
}

// listener returns a peer's listener, which is closed with the test.
func (p *place) listener(at netip.AddrPort) *memnet.Listener {
	p.t.Helper()
	l, err := p.sw.ListenStream(at)
	must(p.t, err)
	p.t.Cleanup(func() { l.Close() })
	return l
}

// gets returns the next datagram that a peer gets within a second.
func (p *place) gets(at *memnet.Conn) string {
	p.t.Helper()
	_ = at.SetReadDeadline(time.Now().Add(time.Second))
	b := make([]byte, 65536)
	n, _, err := at.ReadFromUDPAddrPort(b)
	must(p.t, err)
	return string(b[:n])
}

// connect returns a connection to the agent.
func (p *place) connect(to netip.AddrPort) (*Stream, error) {
	return p.stack.Connect(context.Background(), p.cfg.Targets[0].TLS, config.TransportTCP, message.ParseURI("sip:1@192.0.2.20"), to)
}

// asks makes our side send a padded request, in a new Wire.
func (p *place) asks(to leg.Hop, flow *Stream, pad int) {
	p.t.Helper()
	local, err := p.stack.LocalFor(to.Transport, to.Addr.Addr())
	must(p.t, err)
	p.asked++
	req := siptest.Request(p.t, optionsFrom("198.51.100.1:5060", message.ViaTransport(to.Transport), p.asked, pad))
	w := p.stack.NewWire(local, flow, func(leg.Input) bool { return true })
	w.Perform([]leg.Effect{leg.SendRequest{Req: req, To: to}})
}

// optionsFrom returns the nth OPTIONS of a peer, with a header of this length.
func optionsFrom(at, transport string, n, pad int) string {
	return fmt.Sprintf(`OPTIONS sip:h SIP/2.0
Via: SIP/2.0/%s %s;branch=z9hG4bKasks%d
Max-Forwards: 70
From: <sip:a@h>;tag=a
To: <sip:h>
Call-ID: asks%d
CSeq: %d OPTIONS
X-Pad: %s
Content-Length: 0

`, transport, at, n, n, n, strings.Repeat("x", pad))
}

// A message on a TLS connection has the names in its sender's certificate. Over UDP there are none.
func TestSenderOf(t *testing.T) {
	s := newHost(t, stackConfig, Network{}, Unplugged).stack
	s.streams.live[streamKey{transport: config.TransportTLS, remote: siptest.Carrier}] = &Stream{names: []string{"pbx.test"}}
	for transport, want := range map[string]int{"TLS": 1, "tls": 1, "TCP": 0, "UDP": 0} {
		req := siptest.Request(t, optionsFrom("192.0.2.10:5060", "UDP", 1, 0))
		req.SetTransport(transport)
		req.SetSource(siptest.Carrier.String())
		if from := s.SenderOf(req); len(from.Names) != want || from.Addr != siptest.Carrier {
			t.Errorf("over %s: %+v", transport, from)
		}
	}
}

// A stack without sockets knows its addresses, but can't reach any peer.
func TestUnplugged(t *testing.T) {
	h := newHost(t, stackConfig, Network{}, Unplugged)
	s := h.stack
	if all := s.Listeners(); !slices.Equal(all, h.cfg.SIP.Listen) {
		t.Errorf("listeners %v; want %v", all, h.cfg.SIP.Listen)
	}
	for _, transport := range []string{"", config.TransportTCP} {
		local, err := s.LocalFor(transport, siptest.Agent.Addr())
		if err != nil || local.Host != "198.51.100.1" || local.Port != 5060 {
			t.Errorf("%q: %+v, %v", transport, local, err)
		}
	}
	if _, err := s.Resolve(t.Context(), "agent.test"); err == nil {
		t.Error("a name was looked up")
	}
	if _, err := s.Connect(t.Context(), h.cfg.Targets[0].TLS, config.TransportTCP, message.ParseURI("sip:1@192.0.2.20"), siptest.Agent); err == nil {
		t.Error("a connection was opened")
	}
	s.Serve() // returns by itself, because there is nothing to read
	must(t, s.Close())
}

// If a message makes the reader panic, only this message or its connection is lost.
func TestReaderOutlivesPanic(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		over := func(transport string, n int) []byte {
			text := optionsFrom("192.0.2.10:5060", transport, n, 0)
			if n == 1 {
				text = strings.Replace(text, "To: <sip:h>", "To: <sip:h>;tag="+panics, 1)
			}
			return siptest.CRLF(text)
		}
		carrier := p.socket(siptest.Carrier)
		for n := range 2 {
			if _, err := carrier.WriteToUDPAddrPort(over("UDP", n+1), siptest.Ours); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.gets(carrier); !strings.HasPrefix(got, "SIP/2.0 200") {
			t.Errorf("got %s", got)
		}
		for n := range 2 {
			conn, err := p.sw.DialStream(p.t.Context(), siptest.Carrier.Addr(), siptest.Ours)
			must(t, err)
			_, err = conn.Write(over("TCP", n+1))
			must(t, err)
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			b := make([]byte, 4096)
			got, _ := conn.Read(b)
			if answered := strings.HasPrefix(string(b[:got]), "SIP/2.0 200"); answered != (n == 1) {
				t.Errorf("connection %d: got %q", n, b[:got])
			}
			conn.Close()
		}
		if n := p.panics.Swap(0); n != 2 {
			t.Errorf("%d panics; want 2", n)
		}
	})
}
