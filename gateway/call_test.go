package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"flowbridge/gateway/dialog"
)

// openCall opens a call that does not begin, so that nothing happens by itself.
func openCall(t *testing.T, g *Gateway, b *testBot) *call {
	t.Helper()
	d := sealed{Dialog: dialog.Dialog{CallID: "id", LocalTag: "ours", RemoteTag: "theirs"}, CallSID: ids.call, URL: b.at()}
	c, err := g.open(deadline(t), d, NewAccess(AccessOptions{}), netip.MustParseAddrPort("192.0.2.1:2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	return c
}

// callOf returns the only call of a gateway.
func callOf(g *Gateway) (c *call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c = range g.calls {
	}
	return c
}

// TestManyMarks: the answers to many marks don't make a bot that reads count as one that does not, even if its socket
// does not take data for a while. Marks beyond the limit are dropped.
func TestManyMarks(t *testing.T) {
	g := newGateway(t)
	c := openCall(t, g, newTestBot(t, nil))
	for i := range maxMarks + 2 {
		c.handle(fmt.Appendf(nil, `{"event":"mark","mark":{"name":"%d"}}`, i), nil)
	}
	c.handle([]byte(`{"event":"clear"}`), nil)
	if c.leaving.Load() || c.out.batches != 1 {
		t.Fatalf("%d batches wait, hung up: %t", c.out.batches, c.leaving.Load())
	}
	if n := len(c.out.ends); n != maxMarks {
		t.Errorf("%d marks are answered", n)
	}
	if n := g.Figures().Ignored; n != 2 {
		t.Errorf("%d marks were ignored", n)
	}
}

// TestClearMarks: a bot that clears 300 marks gets the answers in order, and keeps its call.
func TestClearMarks(t *testing.T) {
	g, _, b, _ := connect(t, pcmu)
	b.say(`{"event":"media","media":{"payload":"` + string(make64(29*perSecond)) + `"}}`)
	for i := range 300 {
		b.say(fmt.Sprintf(`{"event":"mark","mark":{"name":"%d"}}`, i))
	}
	b.say(`{"event":"clear"}`)
	eventually(t, "the marks are answered", func() bool { return len(b.events("mark")) == 300 })
	for i, m := range b.events("mark") {
		if m["mark"].(map[string]any)["name"] != fmt.Sprint(i) {
			t.Fatalf("answer %d is %v", i, m)
		}
	}
	if f := g.Figures(); f.Calls != 1 || f.Stalled != 0 {
		t.Errorf("figures %+v", f)
	}
}

// make64 returns n/3*4 letters of base64.
func make64(n int) []byte {
	b := make([]byte, n/3*4)
	for i := range b {
		b[i] = 'K'
	}
	return b
}

// TestEndBeforeStart: a call that ends while it is being set up is not left with the clock, and sends nothing.
func TestEndBeforeStart(t *testing.T) {
	for name, over := range map[string]func(*call){
		"ended":    (*call).end,
		"stopped":  (*call).stop,
		"stopping": func(c *call) { c.finish() },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			c := openCall(t, g, newTestBot(t, nil))
			g.keep(c)
			over(c)
			c.start(false)
			if g.clock.count != 0 {
				t.Error("the clock has the call")
			}
			c.mu.Lock()
			c.sent = time.Now()
			c.atOnce(c.sent)
			if c.lead != 0 || c.out.batches != 0 {
				t.Error("it sends something")
			}
			c.mu.Unlock()
		})
	}
}

// TestLatch: the caller's RTP comes from the described port, at an address that its first packet shows, and audio goes
// there. Packets from other ports belong to other calls, which may have had our port in an earlier process.
func TestLatch(t *testing.T) {
	g := newGateway(t)
	c := openCall(t, g, newTestBot(t, nil))
	described, again := netip.MustParseAddrPort("192.0.2.1:2"), netip.MustParseAddrPort("192.0.2.1:3")
	first, other, stray := netip.MustParseAddrPort("127.0.0.1:2"), netip.MustParseAddrPort("127.0.0.2:2"),
		netip.MustParseAddrPort("127.0.0.1:3")
	packet := func(seq uint16) *rtp.Packet {
		return &rtp.Packet{
			Header:  rtp.Header{Version: 2, SSRC: 1, SequenceNumber: seq, Timestamp: uint32(seq) * frameSize},
			Payload: make([]byte, frameSize),
		}
	}
	describe := func(at netip.AddrPort) {
		if _, err := c.renegotiate(&session{addr: at, mode: "sendrecv"}); err != nil || c.peer != at {
			t.Errorf("peer %v, %v", c.peer, err)
		}
	}
	describe(described)
	for i, step := range []struct {
		from  netip.AddrPort
		seq   uint16
		heard int
		peer  netip.AddrPort
	}{{stray, 7, 0, described}, {first, 0, 1, first}, {other, 1, 1, first}, {stray, 1, 1, first}, {first, 1, 2, first}} {
		c.receive(packet(step.seq), step.from)
		if c.peer != step.peer || c.out.batches != step.heard {
			t.Errorf("step %d: peer %v, %d heard", i, c.peer, c.out.batches)
		}
	}
	describe(again)
	c.receive(packet(3), first)
	c.receive(packet(4), stray)
	if c.peer != stray {
		t.Errorf("peer %v", c.peer)
	}
}

// TestChangesAtOnce: two changes of a call at the same time get Contacts with one state each (for the race detector).
func TestChangesAtOnce(t *testing.T) {
	g := newGateway(t)
	c := openCall(t, g, newTestBot(t, nil))
	var wg sync.WaitGroup
	for law := range uint8(2) {
		wg.Go(func() {
			for range 50 {
				if _, err := c.renegotiate(&session{mode: "sendrecv", law: law * pcma}); err != nil {
					t.Error(err)
				}
				d := c.toSeal()
				if _, err := g.seals.Seal(&d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestComfortNoise: a packet without audio that is used takes its number, so that what follows does not wait for it.
func TestComfortNoise(t *testing.T) {
	g := newGateway(t)
	c := openCall(t, g, newTestBot(t, nil))
	from := netip.MustParseAddrPort("127.0.0.1:2")
	c.follow(&session{addr: from})
	for seq, kind := range []uint8{pcmu, 13, pcmu, 126, pcmu, pcmu} {
		p := rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: kind, SequenceNumber: uint16(seq)},
			Payload: make([]byte, 1),
		}
		if kind == pcmu {
			p.Payload = make([]byte, frameSize)
		}
		if seq == 4 {
			p.Payload = nil
		}
		c.receive(&p, from)
	}
	if c.out.batches != 3 {
		t.Errorf("the bot hears %d frames", c.out.batches)
	}
}

// TestPanicInCall: a call that panics over a packet ends, and the clock keeps running for the others.
func TestPanicInCall(t *testing.T) {
	g, p, b, d := connect(t, pcmu)
	ctx := deadline(t)
	c := callOf(g)
	c.mu.Lock()
	c.hears = time.Now().Add(patience) // so that it is the packet that panics, and not silence in its place
	c.said.runs[toBot].marks = 1
	c.said.tell = func(string) {
		c.said.tell = nil
		panic("of a test")
	}
	c.mu.Unlock()
	p.send(d, 0, 1, 0, make([]byte, frameSize))
	<-p.byes
	eventually(t, "the call is over", func() bool { return g.Calls() == 0 })
	if _, code := p.call(ctx, b.at()); code != 200 {
		t.Fatalf("got %d", code)
	}
	eventually(t, "the clock ticks", func() bool { return len(b.events("media")) > 0 })
}

// TestCloseWhileMute: a bot that has left while the gateway was mute is not reported by a gateway that is closed.
func TestCloseWhileMute(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	g := newGateway(t)
	c := &call{gateway: g, dialog: liveDialog{sealed: sealed{At: conn.LocalAddr().String(), Dialog: dialog.Dialog{
		CallID: "id", LocalTag: "ours", RemoteTag: "theirs",
		Local: "sip:a@127.0.0.1", Remote: "sip:b@127.0.0.1", Target: "sip:b@" + conn.LocalAddr().String(),
	}}}}
	g.Mute(true)
	g.cancel()
	g.bye(c, botLost)
	if _, err := conn.WriteTo([]byte("mine"), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "mine" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

// TestNoAllocation: a packet of the caller, a message of the bot and a frame to the caller take no memory of their own.
func TestNoAllocation(t *testing.T) {
	g := newGateway(t)
	c := openCall(t, g, newTestBot(t, nil))
	from := c.local()
	c.follow(&session{addr: from, mode: "sendrecv"})
	p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 1}, Payload: make([]byte, frameSize)}
	text := []byte(`{"event":"media","media":{"payload":"` + string(make64(frameSize)) + `"}}`)
	var audio []byte
	var sent outbox
	if n := testing.AllocsPerRun(100, func() {
		c.receive(&p, from)
		p.SequenceNumber++
		p.Timestamp += frameSize
		c.takeOut(&sent)
		if len(sent.ends) != 1 {
			t.Fatalf("%d messages", len(sent.ends))
		}
		audio = c.handle(text, audio)
		c.tick(time.Now())
	}); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}
