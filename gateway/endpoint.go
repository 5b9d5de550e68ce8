package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

const (
	allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"
	// The times of RFC 3261 section 13.3.1.4, at which a 200 is repeated until its ACK.
	timerT1 = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	ackWait = 64 * timerT1
	// byeTimeout bounds the wait for the answer to a request.
	byeTimeout = 5 * time.Second
	readBuffer = 4 << 20
	mutePoll   = 5 * time.Millisecond
)

// Open opens a gateway on a port of 127.0.0.1.
func Open(o Options) (*Gateway, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("the gateway of bots: %w", err)
	}
	_ = conn.SetReadBuffer(readBuffer) // the kernel caps it
	g := &Gateway{
		log: o.Log, conn: conn, local: conn.LocalAddr().(*net.UDPAddr).AddrPort(),
		orders: map[string]order{}, calls: map[string]*call{},
	}
	g.clock = newClock[*call](g.hear)
	g.seals, err = newSeals(o.Key)
	if err == nil {
		g.ports, err = newPorts()
	}
	if err == nil {
		err = g.openAgent()
	}
	if err != nil {
		if g.ports != nil {
			g.ports.close()
		}
		_ = conn.Close()
		return nil, fmt.Errorf("the gateway of bots: %w", err)
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.handle()
	ready := &socket{PacketConn: conn, from: o.From, ready: make(chan struct{})}
	g.conn = ready
	g.wg.Go(func() { _ = g.server.ServeUDP(ready) }) // ends with the socket
	g.wg.Go(func() { g.clock.run(g.ctx) })
	<-ready.ready
	return g, nil
}

// openAgent creates the user agent.
func (g *Gateway) openAgent() (err error) {
	quiet := slog.New(slog.DiscardHandler) // it logs each malformed datagram
	g.ua, err = sipgo.NewUA(
		sipgo.WithUserAgent("flowbridge-gateway"),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(
			sip.WithTransactionLayerLogger(quiet),
			sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {}),
		),
	)
	if err != nil {
		return err
	}
	if g.server, err = sipgo.NewServer(g.ua, sipgo.WithServerLogger(quiet)); err != nil {
		return err
	}
	g.client, err = sipgo.NewClient(g.ua, sipgo.WithClientLogger(quiet), sipgo.WithClientNAT(),
		sipgo.WithClientConnectionAddr(g.local.String()))
	return err
}

// socket is the gateway's socket for SIP. It drops what other programs on this machine send, before it is parsed, and
// tells when the library reads it, because the library can't send before.
type socket struct {
	net.PacketConn
	from  func(netip.AddrPort) bool // nil: everybody
	ready chan struct{}
	read  bool // owned by the goroutine that reads
}

// ReadFrom reads a datagram.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	if !s.read {
		s.read = true
		close(s.ready)
	}
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil || s.from == nil {
			return n, from, err
		}
		at := from.(*net.UDPAddr).AddrPort()
		if s.from(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())) {
			return n, from, nil
		}
	}
}

// Mute keeps the gateway from hanging up, while its calls go over to another process. Mute(false) lets it again, and
// what it would have said is said then.
func (g *Gateway) Mute(on bool) { g.muted.Store(on) }

// Close ends all calls without telling the B2BUA, which has ended them before, or continues them in another process.
// The bots see that their sockets close.
func (g *Gateway) Close() error {
	g.mu.Lock()
	all := make([]*call, 0, len(g.calls))
	for _, c := range g.calls {
		all = append(all, c)
	}
	g.mu.Unlock()
	g.cancel()
	for _, c := range all {
		c.end()
	}
	err := g.conn.Close()
	uaErr := g.ua.Close()
	g.wg.Wait()
	g.ports.close()
	return errors.Join(err, uaErr)
}

// handle sets the handlers of requests.
func (g *Gateway) handle() {
	within := func(f func(*call, *sip.Request, sip.ServerTransaction)) sipgo.RequestHandler {
		return func(req *sip.Request, tx sip.ServerTransaction) {
			defer g.recovered()
			c := g.find(req)
			if c == nil {
				reply(req, tx, 481, "Call Does Not Exist")
				return
			}
			f(c, req, tx)
		}
	}
	g.server.OnInvite(g.onInvite)
	g.server.OnAck(func(req *sip.Request, _ sip.ServerTransaction) {
		defer g.recovered()
		if c := g.find(req); c != nil {
			c.ack.Do(func() { close(c.acked) })
		}
	})
	g.server.OnBye(within(func(c *call, req *sip.Request, tx sip.ServerTransaction) {
		reply(req, tx, 200, "OK")
		c.stop()
	}))
	g.server.OnInfo(within(func(c *call, req *sip.Request, tx sip.ServerTransaction) {
		reply(req, tx, 200, "OK")
		if d := digitIn(req.Body()); d != 0 {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.press(d)
		}
	}))
	g.server.OnUpdate(within(g.onUpdate))
	g.server.OnOptions(within(func(_ *call, req *sip.Request, tx sip.ServerTransaction) { reply(req, tx, 200, "OK") }))
	g.server.OnCancel(func(req *sip.Request, tx sip.ServerTransaction) { // the library handles those of its transactions
		defer g.recovered()
		reply(req, tx, 481, "Call Does Not Exist")
	})
}

func (g *Gateway) recovered() {
	if v := recover(); v != nil {
		g.panicked(v)
	}
}

func reply(req *sip.Request, tx sip.ServerTransaction, code int, reason string) {
	_ = tx.Respond(sip.NewResponseFromRequest(req, code, reason, nil))
}

// onInvite takes a call, or a change of one.
func (g *Gateway) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	defer g.recovered()
	if req.To() == nil || req.From() == nil || req.CallID() == nil || req.Contact() == nil {
		reply(req, tx, 400, "Incomplete INVITE")
		return
	}
	if tag, _ := req.To().Params.Get("tag"); tag != "" {
		if c := g.find(req); c != nil {
			g.reanswer(c, req, tx)
		} else {
			reply(req, tx, 481, "Call Does Not Exist")
		}
		return
	}
	req.To().Params.Add("tag", newTag())
	reply(req, tx, 100, "Trying")
	s, err := parseSession(req.Body())
	if err != nil {
		reply(req, tx, 488, "Not Acceptable Here")
		return
	}
	wanted, ok := g.take(req.Recipient.User)
	if !ok {
		reply(req, tx, 503, "No Order For This Call")
		return
	}
	ctx, cancel := context.WithTimeout(g.ctx, wanted.Within)
	defer cancel()
	if !tx.OnCancel(func(*sip.Request) { cancel() }) {
		return // it was cancelled before
	}
	d := newDialog(req)
	d.CallSID, d.URL, d.Parameters, d.Law, d.Event = wanted.CallSID, wanted.URL, wanted.Parameters, s.law, s.event
	if err := g.fits(&d); err != nil { // before the bot hears of a call that can't be
		g.figures.refused.Add(1)
		g.log.Warn().Str("bot_call", d.CallSID).Err(err).Msg("a bot's call is refused")
		reply(req, tx, 500, "Bot URL And Parameters Too Long")
		return
	}
	c, err := g.open(ctx, d, wanted.Access, s.addr, wanted.Tell)
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		if c != nil {
			c.end()
		}
	case err != nil:
		g.figures.refused.Add(1)
		code, reason := sipAnswer(err)
		g.log.Info().Str("bot_call", d.CallSID).Int("code", code).AnErr("err", err).Msg("a bot did not take its call")
		reply(req, tx, code, reason)
	default:
		g.answer(ctx, c, s.mode, req, tx)
	}
}

// answer accepts a call, unless ctx says that it was cancelled.
func (g *Gateway) answer(ctx context.Context, c *call, mode string, req *sip.Request, tx sip.ServerTransaction) {
	c.mode = answerTo(mode)
	body, err := describe(c.local(), c.version, c.mode, c.dialog.Law, c.dialog.Event)
	if err != nil {
		c.end()
		reply(req, tx, 500, "No Description")
		return
	}
	res, err := g.accept(c, req, body)
	if err != nil {
		c.end()
		reply(req, tx, 500, "No Contact")
		return
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		c.end()
		return
	}
	g.keep(c)
	c.start(false)
	if tx.Respond(res) != nil { // a CANCEL was faster, so there is no call to end by a BYE
		c.stop()
		return
	}
	c.repeat(func() error { return tx.Respond(res) })
}

// repeat sends the 200 again until its ACK.
func (c *call) repeat(send func() error) {
	end := time.Now().Add(ackWait)
	for wait := timerT1; ; wait = min(2*wait, timerT2) {
		select {
		case <-c.acked:
			return
		case <-c.ctx.Done():
			return
		case <-time.After(wait):
		}
		if time.Now().After(end) || send() != nil {
			c.leave(botLost, errNoACK)
			return
		}
	}
}

// accept returns a 200 with our sealed Contact.
func (g *Gateway) accept(c *call, req *sip.Request, body []byte) (*sip.Response, error) {
	d := c.toSeal()
	user, err := g.seals.Seal(&d)
	if err != nil {
		return nil, err
	}
	res := sip.NewResponseFromRequest(req, 200, "OK", body)
	res.AppendHeader(contact(user, g.local))
	res.AppendHeader(sip.NewHeader("Allow", allowed))
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	return res, nil
}

// reanswer answers a change of a call. An INVITE without an offer gets ours.
func (g *Gateway) reanswer(c *call, req *sip.Request, tx sip.ServerTransaction) {
	var s *session
	if len(req.Body()) > 0 {
		parsed, err := parseSession(req.Body())
		if err != nil {
			reply(req, tx, 488, "Not Acceptable Here")
			return
		}
		s = &parsed
	}
	body, err := c.renegotiate(s)
	if err == nil {
		var res *sip.Response
		if res, err = g.accept(c, req, body); err == nil {
			_ = tx.Respond(res) // a packet that loopback loses is sent again with the repeated INVITE
			return
		}
	}
	reply(req, tx, 500, "No Description")
}

func (g *Gateway) onUpdate(c *call, req *sip.Request, tx sip.ServerTransaction) {
	if len(req.Body()) > 0 {
		g.reanswer(c, req, tx)
		return
	}
	if res, err := g.accept(c, req, nil); err == nil {
		_ = tx.Respond(res)
	}
}

// bye tells the B2BUA that a bot has left. A failure has a cause by which it rescues the call.
func (g *Gateway) bye(c *call, why string) {
	req := c.dialog.request(sip.BYE, c.dialog.nextCSeq())
	reason := "Q.850;cause=16"
	if why != botClosed {
		reason = fmt.Sprintf(`Q.850;cause=41;text="%s"`, why)
	}
	req.AppendHeader(sip.NewHeader("Reason", reason))
	for g.muted.Load() && g.ctx.Err() == nil { // another process may be about to continue the call
		time.Sleep(mutePoll)
	}
	if g.ctx.Err() != nil {
		return // it does
	}
	ctx, cancel := context.WithTimeout(g.ctx, byeTimeout)
	defer cancel()
	_, _ = g.ask(ctx, req) // if there is no answer, the B2BUA misses the RTP
}

var errNoAnswer = errors.New("no answer")

// ask sends a request, and returns the final response.
func (g *Gateway) ask(ctx context.Context, req *sip.Request) (*sip.Response, error) {
	tx, err := g.client.TransactionRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res, nil
			}
		case <-tx.Done():
			return nil, errNoAnswer
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
