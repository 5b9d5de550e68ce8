package gateway

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

// deadTx is a transaction that was cancelled.
type deadTx struct{ sip.ServerTransaction }

func (deadTx) Respond(*sip.Response) error { return errors.New("cancelled") }

// TestCancelledBeforeAnswer: a CANCEL that comes while the bot's socket opens leaves no call, and no BYE, because there
// is no dialog. A bot that was greeted gets stop.
func TestCancelledBeforeAnswer(t *testing.T) {
	for name, greeted := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			p, b := newPeer(t, g), newTestBot(t, nil)
			c := openCall(t, g, b)
			c.dialog.Local, c.dialog.Remote, c.dialog.Target = "sip:a@127.0.0.1", "sip:b@127.0.0.1", "sip:b@127.0.0.1"
			req := c.dialog.request(sip.INVITE, 1)
			req.AppendHeader(&sip.ViaHeader{
				ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: "127.0.0.1", Params: sip.NewParams(),
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if !greeted {
				cancel()
			}
			g.answer(ctx, c, "sendrecv", req, deadTx{})
			if g.Calls() != 0 || c.ctx.Err() == nil || len(p.byes) != 0 || g.Figures().Lost != 0 {
				t.Errorf("figures %+v", g.Figures())
			}
			if greeted {
				eventually(t, "the bot has stop", func() bool { return len(b.events("stop")) == 1 })
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.greeted != greeted {
				t.Errorf("the bot was greeted: %t", c.greeted)
			}
		})
	}
}

// TestHangup: an order over HTTP ends the call for the caller, and then for the bot: stop is the last message, and has
// the last number.
func TestHangup(t *testing.T) {
	g, ctx := newGateway(t), deadline(t)
	p, b := newPeer(t, g), newTestBot(t, nil)
	if _, code := p.call(ctx, b.at()); code != 200 {
		t.Fatalf("got %d", code)
	}
	eventually(t, "the bot hears silence", func() bool { return len(b.events("media")) > 2 })
	if !g.Hangup(ids.account, ids.call) {
		t.Fatal("no call")
	}
	if got := <-p.byes; got != "Q.850;cause=16" {
		t.Errorf("got %s", got)
	}
	eventually(t, "the call is over", func() bool { return g.Calls() == 0 })
	eventually(t, "the bot has stop", func() bool { return len(b.events("stop")) == 1 })
	b.mu.Lock()
	defer b.mu.Unlock()
	var numbers []string
	for _, m := range b.got[1:] {
		numbers = append(numbers, m["sequenceNumber"].(string))
	}
	last := b.got[len(b.got)-1]
	sorted := slices.IsSortedFunc(numbers, func(x, y string) int {
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
	if last["event"] != "stop" || !sorted {
		t.Errorf("last is %v, numbers %v", last, numbers)
	}
}

// TestLeaveLog: the log says how a bot's socket ended.
func TestLeaveLog(t *testing.T) {
	var log bytes.Buffer
	g, err := Open(Options{Key: [32]byte{7}, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	p, b := newPeer(t, g), newTestBot(t, nil)
	if _, code := p.call(deadline(t), b.at()); code != 200 {
		t.Fatalf("got %d", code)
	}
	eventually(t, "the bot has start", func() bool { return len(b.events("start")) == 1 })
	b.mu.Lock()
	c := b.conn
	b.mu.Unlock()
	_ = c.Close(4321, "tired")
	<-p.byes
	eventually(t, "the call is over", func() bool { return g.Calls() == 0 })
	_ = g.Close()
	if !strings.Contains(log.String(), "4321") || !strings.Contains(log.String(), "tired") {
		t.Errorf("log %s", log.String())
	}
}

// TestResumeTwice: the later one of two calls of a dialog has it, and the earlier one ends without a BYE. One whose bot
// is not there counts as lost.
func TestResumeTwice(t *testing.T) {
	old, p, b, d := connect(t, pcmu)
	_ = old.Close()
	next := newGateway(t)
	if err := p.resume(next, NewAccess(AccessOptions{}), d); err != nil {
		t.Fatal(err)
	}
	<-p.invites
	eventually(t, "the bot is told", func() bool { return len(b.events("start")) == 2 })
	earlier := callOf(next)
	if err := p.resume(next, NewAccess(AccessOptions{}), d); err != nil {
		t.Fatal(err)
	}
	<-p.invites
	eventually(t, "the bot is told again", func() bool { return len(b.events("start")) == 3 })
	eventually(t, "the earlier one has ended", func() bool { return earlier.ctx.Err() != nil })
	if next.Calls() != 1 || len(p.byes) != 0 {
		t.Errorf("%d calls, %d BYEs", next.Calls(), len(p.byes))
	}
	last := newGateway(t)
	b.mu.Lock()
	_ = b.conn.CloseNow()
	b.mu.Unlock()
	<-p.byes
	b.Close()
	if err := p.resume(last, NewAccess(AccessOptions{}), d); err != nil {
		t.Fatal(err)
	}
	<-p.byes
	if f := last.Figures(); f.Lost != 1 || f.Resumed != 0 {
		t.Errorf("figures %+v", f)
	}
}

// TestOthersAreIgnored: SIP of other programs on this machine than the B2BUA is dropped before it is parsed.
func TestOthersAreIgnored(t *testing.T) {
	var conns [2]*net.UDPConn
	for i := range conns {
		conns[i] = must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))
		defer conns[i].Close()
	}
	other, own := conns[0], conns[1]
	ours := own.LocalAddr().(*net.UDPAddr).AddrPort()
	g, err := Open(Options{Key: [32]byte{7}, Log: zerolog.Nop(), From: func(at netip.AddrPort) bool { return at == ours }})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, c := range conns { // the other one is first, so its answer would come first
		req := "OPTIONS sip:x@127.0.0.1 SIP/2.0\r\n" +
			"Via: SIP/2.0/UDP " + c.LocalAddr().String() + ";branch=z9hG4bK" + newTag() + "\r\n" +
			"From: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: i\r\n" +
			"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
		if _, err := c.WriteToUDPAddrPort([]byte(req), g.local); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 2048)
	if n, err := own.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "SIP/2.0 481 ") {
		t.Errorf("ours: got %q, %v", buf[:n], err)
	}
	if _, err := g.conn.WriteTo([]byte("end"), other.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if n, err := other.Read(buf); err != nil || string(buf[:n]) != "end" {
		t.Errorf("another program: got %q, %v", buf[:n], err)
	}
}

// TestSlowUpgrade: a bot that does not answer within the time of its order is not waited for longer.
func TestSlowUpgrade(t *testing.T) {
	g := newGateway(t)
	p := newPeer(t, g)
	release := make(chan struct{})
	b := newTestBot(t, func(http.ResponseWriter) bool { <-release; return false })
	defer close(release)
	p.within = time.Millisecond
	if _, code := p.call(deadline(t), b.at()); code != 504 {
		t.Errorf("got %d", code)
	}
}
