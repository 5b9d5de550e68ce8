package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// asking returns a request of a peer.
func asking(method, branch string, via net.Addr) []byte {
	return siptest.CRLF(fmt.Sprintf(`%[1]s sip:b@198.51.100.1 SIP/2.0
Via: SIP/2.0/%[3]s %[4]s;branch=z9hG4bK%[2]s
Max-Forwards: 70
From: <sip:a@a.test>;tag=1
To: <sip:b@b.test>
Call-ID: %[2]s@a.test
CSeq: 1 %[1]s
Contact: <sip:a@%[4]s>
Content-Length: 0

`, method, branch, strings.ToUpper(via.Network()), via))
}

var ours = netip.MustParseAddrPort("198.51.100.1:5060") //nolint:gochecknoglobals // constant

// TestFreeze: a frozen stack reads nothing, accepts no connection and runs no turn. When it continues, it handles the
// messages that came in between, and completes a message of which it had read half.
func TestFreeze(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		phone := p.socket(netip.AddrPortFrom(siptest.Carrier.Addr(), 5060))
		dial := func() net.Conn {
			conn, err := p.sw.DialStream(context.Background(), siptest.Carrier.Addr(), ours)
			must(t, err)
			return conn
		}
		before := dial()
		defer before.Close()
		text := asking("OPTIONS", "before", before.LocalAddr())
		_, _ = before.Write(text[:100])
		synctest.Wait()
		for range 3 { // freezing may be repeated
			must(t, p.stack.Freeze(p.t.Context(), nil))
			ran := false
			p.stack.Turns().Begin(func() {
				p.stack.Turns().Enter()
				defer p.stack.Turns().Leave()
				ran = true
			})
			_, _ = phone.WriteToUDPAddrPort(asking("OPTIONS", "udp", phone.LocalAddr()), ours)
			_, _ = before.Write(text[100:])
			after := dial()
			_, _ = after.Write(asking("OPTIONS", "after", after.LocalAddr()))
			time.Sleep(time.Minute) // longer than the deadline of any message on a connection
			synctest.Wait()
			if ran {
				t.Error("a turn runs")
			}
			_ = before.SetReadDeadline(time.Now())
			if _, err := before.Read(make([]byte, 1)); err == nil {
				t.Error("an answer while the stack stands still")
			}
			p.stack.Serve()
			synctest.Wait()
			if got := p.gets(phone); !strings.HasPrefix(got, "SIP/2.0 200 ") || !ran {
				t.Errorf("over UDP: %s; the turn ran: %v", got, ran)
			}
			for _, c := range []net.Conn{before, after} {
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "SIP/2.0 200 ") {
					t.Errorf("over TCP: %q, %v", line, err)
				}
			}
			after.Close()
			text = asking("OPTIONS", "before", before.LocalAddr())
			_, _ = before.Write(text[:100])
			synctest.Wait()
		}
	})
}

// TestFreezeGivesUp: if something does not stop, freezing fails with a reason, and the stack continues to serve.
func TestFreezeGivesUp(t *testing.T) {
	busy := errors.New("it has something to do")
	for _, rests := range []int{0, 1} { // number of idle checks before it is busy; with 1, turns are already blocked
		inPlace(t, stackConfig, func(p *place) {
			givesUp(p, busy, func() error {
				if rests--; rests >= 0 {
					return nil
				}
				return busy
			})
		})
	}
	inPlace(t, stackConfig, func(p *place) {
		turns := p.stack.Turns()
		turns.Enter()
		givesUp(p, errTurn, nil)
		turns.Leave()
	})
}

// givesUp checks that freezing the stack fails for this reason.
func givesUp(p *place, why error, rested func() error) {
	p.t.Helper()
	phone := p.socket(netip.AddrPortFrom(siptest.Carrier.Addr(), 5060))
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Second)
	defer cancel()
	if err := p.stack.Freeze(ctx, rested); !errors.Is(err, why) || !errors.Is(err, context.DeadlineExceeded) {
		p.t.Errorf("it stands still, or for another reason than %v: %v", why, err)
	}
	_, _ = phone.WriteToUDPAddrPort(asking("OPTIONS", "1", phone.LocalAddr()), ours)
	synctest.Wait()
	if got := p.gets(phone); !strings.HasPrefix(got, "SIP/2.0 200 ") {
		p.t.Errorf("got %s", got)
	}
}

// TestHold: while new calls are held, INVITEs wait, each once, with their CANCELs. Other requests do not wait.
func TestHold(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		phone := p.socket(netip.AddrPortFrom(siptest.Carrier.Addr(), 5060))
		p.stack.Hold()
		for _, method := range []string{"INVITE", "INVITE", "CANCEL"} {
			_, _ = phone.WriteToUDPAddrPort(asking(method, "call", phone.LocalAddr()), ours)
		}
		_, _ = phone.WriteToUDPAddrPort(asking("OPTIONS", "other", phone.LocalAddr()), ours)
		synctest.Wait()
		if got := p.gets(phone); !strings.Contains(got, "OPTIONS") {
			t.Errorf("got %s", got)
		}
		if n := len(p.stack.State().Held); n != 2 {
			t.Errorf("%d messages are held", n)
		}
		p.stack.Release()
		synctest.Wait()
		if got := p.gets(phone); !strings.HasPrefix(got, "SIP/2.0 200 ") || !strings.Contains(got, "INVITE") {
			t.Errorf("got %s", got)
		}
	})
}

// TestSocketsGoOver: another stack takes over the sockets, a connection on which half a message has come, a
// transaction's answer, and a held call.
func TestSocketsGoOver(t *testing.T) {
	yaml := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(stackConfig, "198.51.100.1:5060", "127.0.0.1:0"), "192.0.2.10", "127.0.0.0/8"), "198.51.100.1", "127.0.0.1")
	old := newHost(t, yaml, Network{}, Listen)
	old.stack.Serve()
	defer old.stack.Close()
	at := old.stack.Listeners()
	phone, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at[0].AddrPort))
	must(t, err)
	defer phone.Close()
	conn, err := net.Dial("tcp4", at[1].String()[len("tcp://"):])
	must(t, err)
	defer conn.Close()
	gets := func(c net.Conn) string {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 4096)
		n, err := c.Read(b)
		must(t, err)
		return string(b[:n])
	}
	asked := asking("OPTIONS", "udp", phone.LocalAddr())
	_, _ = phone.Write(asked)
	answer := gets(phone)
	text := asking("OPTIONS", "tcp", conn.LocalAddr())
	_, _ = conn.Write(append(asking("OPTIONS", "whole", conn.LocalAddr()), text[:100]...))
	gets(conn)
	must(t, old.stack.Freeze(t.Context(), nil))
	files, err := old.stack.Sockets()
	must(t, err)
	next := newHost(t, yaml, Network{}, func(ctx context.Context, o Options) (*Stack, error) {
		o.Take = func(name string) (int, bool) {
			for i, f := range files {
				if f.Name == name {
					files = append(files[:i], files[i+1:]...)
					return f.FD, true
				}
			}
			return 0, false
		}
		return Listen(ctx, o)
	})
	defer next.stack.Close()
	if len(files) > 0 {
		t.Errorf("nobody took %v", files)
	}
	must(t, next.stack.Freeze(t.Context(), nil))
	must(t, old.stack.Streams(func(st StreamState, fd int) error { return next.stack.AddStream(&st, fd) }))
	ids := map[uint64]bool{}
	for _, c := range slices.Concat(old.stack.streams.all(), next.stack.streams.all()) {
		ids[c.ID()] = true
	}
	if len(ids) != 1 || ids[0] { // the only connection
		t.Errorf("before and after the connection is %v", ids)
	}
	before := old.stack.NewWire(leg.Local{Transport: "tcp"}, old.stack.streams.all()[0], nil)
	flow := before.Flow()
	restored := next.stack.RestoreFlow(&flow, config.TargetTLS{})
	after := next.stack.NewWire(leg.Local{Transport: "tcp"}, restored, nil)
	if restored.isClosed() || !after.carries(next.stack.streams.all()[0]) || restored.users.Load() != 1 {
		t.Error("a leg does not go on with its connection")
	}
	after.Close()
	before.Close()
	st := old.stack.State()
	next.stack.Restore(&st)
	next.stack.Serve()
	_, _ = phone.Write(asked)
	if got := gets(phone); got != answer {
		t.Errorf("a copy gets\n%s\nand not\n%s", got, answer)
	}
	_, _ = conn.Write(text[100:])
	if got := gets(conn); !strings.HasPrefix(got, "SIP/2.0 200 ") || !strings.Contains(got, "z9hG4bKtcp") {
		t.Errorf("the rest of a message gets %s", got)
	}
}

// TestHeldOverTLS: an INVITE over TLS is not held, because its connection can't be handed over, so that its caller
// would never get an answer.
func TestHeldOverTLS(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		via := p.socket(netip.AddrPortFrom(siptest.Carrier.Addr(), 40000)).LocalAddr()
		for _, transport := range []string{config.TransportTCP, config.TransportTLS} {
			c := &Stream{hub: p.stack.streams, transport: transport, local: ours, remote: netip.AddrPortFrom(siptest.Carrier.Addr(), 40000), closed: make(chan struct{})}
			p.stack.Hold()
			held := p.stack.hold(asking("INVITE", "call"+transport, via), arrival{transport: transport, source: c.remote, over: c})
			if over := len(p.stack.State().Held); held != (transport == config.TransportTCP) || over != 1 {
				t.Errorf("%s: held %v, %d go over", transport, held, over)
			}
		}
	})
}
