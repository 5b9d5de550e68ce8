package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/rtp"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// maxUnsent is how many batches of messages may wait for a bot's socket: five seconds of audio. The answers to all
	// marks that a bot clears are one batch.
	maxUnsent = 250
	// A bot is pinged this often, and must answer within this time.
	pingEvery   = 5 * time.Second
	pongWithin  = 5 * time.Second
	messageRate = 1000 // messages a second that are read from a bot
	// quietAfter is how long nothing may come from the caller before silence is sent to the bot.
	quietAfter = 3 * frameTime
	// farewell is how long the last message to a bot may take.
	farewell = time.Second
)

// Why a call ended by its bot. The words are causes of the B2BUA.
const (
	botClosed    = ""
	botLost      = "bot_lost"
	agentStalled = "agent_stalled"
)

// call is a leg: SIP and RTP on one side, a bot's socket on the other. It has three goroutines: one reads the socket,
// one writes it, one reads RTP. The gateway's clock sends RTP.
type call struct {
	// constant
	dialog  dialog
	gateway *Gateway
	access  *Access
	log     zerolog.Logger
	rtp     *net.UDPConn
	ws      *websocket.Conn
	out     chan [][]byte
	done    chan struct{} // closed once nothing more is put into out
	written chan struct{} // closed once the writer has ended
	acked   chan struct{}
	begun   time.Time
	ctx     context.Context //nolint:containedctx // the call's life
	cancel  context.CancelFunc

	ack, over, close sync.Once
	leaving          atomic.Bool // a bot that does not read is being hung up on
	pinging          atomic.Bool
	peer             atomic.Pointer[netip.AddrPort]

	mu      sync.Mutex // guards the fields below
	says    outgoing
	greeted bool   // the bot has got its first messages
	last    []byte // for the bot, after everything in out; once it is set, nothing more is sent
	play    playout
	heard   uplink
	header  rtp.Header
	slot    int       // of the clock, which has the call between start and its end
	sent    time.Time // when the last frame was due
	lead    time.Duration
	hears   time.Time // when the caller's last audio came, or silence in its place
	event   uint32    // timestamp of the last DTMF event
	pressed bool      // event is known
	mode    string    // ours
	version uint64    // of our session description
	pinged  time.Time
	frame   [frameSize]byte
	packet  [12 + frameSize]byte
	noted   map[string]int // messages that were ignored, by reason
}

// open makes a call out of a dialog, and opens its RTP port and the socket.
func (g *Gateway) open(ctx context.Context, d sealed, access *Access, peer netip.AddrPort) (*call, error) {
	ws, err := access.Dial(ctx, d.URL)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		_ = ws.CloseNow()
		return nil, err
	}
	c := &call{
		dialog: dialog{sealed: d}, gateway: g, access: access, rtp: conn, ws: ws, begun: time.Now(),
		out: make(chan [][]byte, maxUnsent), done: make(chan struct{}), written: make(chan struct{}),
		acked: make(chan struct{}), mode: "sendrecv", version: 1,
		log: g.log.With().Str("bot_call", d.CallSID).Logger(), noted: map[string]int{},
	}
	c.says.ids = streamIDs{stream: newSID("MZ"), call: d.CallSID, account: access.account}
	c.header = rtp.Header{
		Version: 2, PayloadType: d.Law, Marker: true,
		SSRC: rand.Uint32(), SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32(),
	}
	c.sent, c.hears, c.pinged = c.begun, c.begun, c.begun
	c.play.starved = idleAfter // the first words leave at once
	c.peer.Store(&peer)
	c.ctx, c.cancel = context.WithCancel(g.ctx)
	return c, nil
}

// start begins the exchange with the bot. resumed says that the bot had the call before.
func (c *call) start(resumed bool) {
	parameters := []byte(c.dialog.Parameters)
	if len(parameters) == 0 {
		parameters = []byte("{}")
	}
	if resumed {
		parameters = resumedParameters(parameters)
	}
	if !c.greet(parameters) {
		return
	}
	for _, f := range []func(){c.write, c.read, c.hear} {
		c.gateway.wg.Go(func() {
			defer c.recovered()
			f()
		})
	}
}

// greet sends the bot its first messages, and gives the call to the clock. It returns false if the call has ended
// before.
func (c *call) greet(parameters []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		return false
	}
	c.greeted = true
	c.send([]byte(connected), c.says.start(nil, parameters))
	c.slot = c.gateway.clock.slotAt(time.Now())
	c.gateway.clock.add(c, c.slot)
	return true
}

// isOver reports whether nothing more is to be sent. c.mu must be held.
func (c *call) isOver() bool { return c.last != nil || c.ctx.Err() != nil }

// rest takes the call from the clock.
func (c *call) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gateway.clock.remove(c, c.slot)
}

// recovered ends the call, and not the process, after a panic.
func (c *call) recovered() {
	if v := recover(); v != nil {
		c.gateway.panicked(v)
		c.gateway.wg.Go(func() { c.leave(botLost) })
	}
}

// send gives messages to the writer, as one batch. c.mu must be held. A bot that does not read loses its call.
func (c *call) send(messages ...[]byte) {
	if c.isOver() {
		return
	}
	select {
	case c.out <- messages:
	default:
		if c.leaving.CompareAndSwap(false, true) {
			c.gateway.wg.Go(func() { c.leave(agentStalled) })
		}
	}
}

// write sends messages until the call ends.
func (c *call) write() {
	defer close(c.written)
	for {
		select {
		case messages := <-c.out:
			if !c.writeAll(messages) {
				return
			}
		case <-c.done:
			for len(c.out) > 0 {
				if !c.writeAll(<-c.out) {
					return
				}
			}
			c.writeAll([][]byte{c.last})
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// writeAll sends messages. It returns false if the socket has broken, and the reader learns why.
func (c *call) writeAll(messages [][]byte) bool {
	for _, message := range messages {
		if c.ws.Write(c.ctx, websocket.MessageText, message) != nil {
			return false
		}
	}
	return true
}

// read handles the bot's messages until its socket ends.
func (c *call) read() {
	allowed := rate.NewLimiter(messageRate, messageRate)
	for {
		kind, text, err := c.ws.Read(c.ctx)
		if err != nil {
			why := botLost
			status := websocket.CloseStatus(err)
			if status == websocket.StatusNormalClosure || status == websocket.StatusNoStatusRcvd {
				why = botClosed
			}
			c.leave(why)
			return
		}
		if allowed.Wait(c.ctx) != nil { // the bot is slowed down, nothing is lost
			return
		}
		if kind != websocket.MessageText {
			c.ignore(errors.New("a binary frame"))
			continue
		}
		c.handle(text)
	}
}

func (c *call) handle(text []byte) {
	m, err := read(text, c.says.ids.stream)
	if err != nil {
		c.ignore(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Event {
	case "media":
		idle := c.play.idle()
		if dropped := c.play.add(m.Media.Payload); dropped > 0 {
			c.note("audio beyond 30 seconds", dropped)
		}
		if idle {
			c.atOnce(time.Now())
		}
	case "mark":
		if !c.play.mark(m.Mark.Name) {
			c.note("a mark beyond 1500", 1)
		}
	case "clear":
		c.sendMarks(c.play.clear())
	}
}

// sendMarks answers marks. c.mu must be held.
func (c *call) sendMarks(names []string) {
	if len(names) == 0 {
		return
	}
	all := make([][]byte, 0, len(names))
	for _, name := range names {
		all = append(all, c.says.mark(name))
	}
	c.send(all...)
}

// ignore counts a message that is not used.
func (c *call) ignore(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(err.Error(), 1)
}

// note counts what is ignored, and logs the first of each kind. c.mu must be held.
func (c *call) note(what string, n int) {
	if c.noted[what] == 0 {
		c.log.Warn().Str("what", what).Msg("ignored something of a bot")
	}
	c.noted[what] += n
	c.gateway.figures.ignored.Add(1)
}

// atOnce sends a frame now instead of at the next tick, because the bot begins to speak. c.mu must be held.
func (c *call) atOnce(now time.Time) {
	early := c.sent.Add(frameTime).Sub(now)
	if c.isOver() || early <= 0 || early > frameTime {
		return
	}
	to := c.gateway.clock.slotAt(now)
	c.gateway.clock.move(c, c.slot, to)
	c.slot = to
	c.lead += early
	c.header.Marker = true
	c.sendFrame(now)
}

// tick is called every 20 ms.
func (c *call) tick(now time.Time) {
	defer c.recovered()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		return
	}
	if c.lead >= frameTime && c.play.idle() { // the frames that were sent early leave room for one
		c.lead -= frameTime
	} else {
		c.sendFrame(now)
	}
	if quiet := now.Sub(c.hears); quiet >= quietAfter {
		frames := min(int(quiet/frameTime)-1, int(time.Second/frameTime))
		c.hears = now.Add(-frameTime)
		c.heard.fill(frames*frameSize, c.toBot)
	}
	if now.Sub(c.pinged) >= pingEvery && c.pinging.CompareAndSwap(false, true) {
		c.pinged = now
		c.gateway.wg.Go(c.ping)
	}
}

// sendFrame sends the next 20 ms to the caller. c.mu must be held.
func (c *call) sendFrame(now time.Time) {
	if missed := now.Sub(c.sent) - frameTime; missed > catchUp { // the clock stood still, and does not make up for it
		c.header.Timestamp += uint32(missed/frameTime) * frameSize
		c.header.Marker = true
	}
	_, marks := c.play.frame(&c.frame)
	c.sendMarks(marks)
	c.sent = now
	if c.mode == "sendrecv" || c.mode == "sendonly" {
		if n, err := c.header.MarshalTo(c.packet[:]); err == nil {
			copy(c.packet[n:], c.frame[:])
			if c.dialog.Law == pcma {
				convert(c.packet[n:n+frameSize], &aOfMu)
			}
			_, _ = c.rtp.WriteToUDPAddrPort(c.packet[:n+frameSize], *c.peer.Load()) // a lost packet is the network's way
		}
		c.header.SequenceNumber++
		c.header.Marker = false
	}
	c.header.Timestamp += frameSize
}

// toBot sends 20 ms of the caller's audio to the bot. c.mu must be held.
func (c *call) toBot(audio []byte) { c.send(c.says.media(make([]byte, 0, 384), audio)) }

// ping ends the call if the bot does not answer.
func (c *call) ping() {
	defer c.recovered()
	defer c.pinging.Store(false)
	ctx, cancel := context.WithTimeout(c.ctx, pongWithin)
	defer cancel()
	if c.ws.Ping(ctx) != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && c.ctx.Err() == nil {
		c.leave(agentStalled)
	}
}

// hear reads the caller's RTP.
func (c *call) hear() {
	buf := make([]byte, 2048)
	var p rtp.Packet
	for {
		n, from, err := c.rtp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if c.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if p.Unmarshal(buf[:n]) != nil || p.Version != 2 || len(p.Payload) == 0 {
			continue
		}
		// Its session description may have a public address, at which it can't be reached from here.
		if from != *c.peer.Load() {
			c.peer.Store(&from)
		}
		c.receive(&p)
	}
}

// receive handles a packet of the caller.
func (c *call) receive(p *rtp.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p.PayloadType == c.dialog.Law:
		if p.PayloadType == pcma {
			convert(p.Payload, &muOfA)
		}
		c.hears = time.Now()
		c.heard.push(p.SSRC, p.SequenceNumber, p.Timestamp, p.Payload, c.toBot)
	case c.dialog.Event != 0 && p.PayloadType == c.dialog.Event:
		c.onEvent(p)
	}
}

// onEvent handles a packet of a DTMF event (RFC 4733). Each event has several. c.mu must be held.
func (c *call) onEvent(p *rtp.Packet) {
	c.heard.skip(p.SequenceNumber)
	if len(p.Payload) < 4 || int(p.Payload[0]) >= len(digits) || c.pressed && p.Timestamp == c.event {
		return
	}
	c.event, c.pressed = p.Timestamp, true
	c.press(digits[p.Payload[0]])
}

// press tells the bot about a key. c.mu must be held.
func (c *call) press(digit byte) { c.send(c.says.dtmf(nil, digit)) }

// renegotiate takes the B2BUA's new description, and returns ours.
func (c *call) renegotiate(s *session) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s != nil {
		c.peer.Store(&s.addr)
		c.mode = answerTo(s.mode)
		c.dialog.Law, c.dialog.Event = s.law, s.event
		c.header.PayloadType = s.law
	}
	c.version++
	return describe(c.local(), c.version, c.mode, c.dialog.Law, c.dialog.Event)
}

func (c *call) local() netip.AddrPort { return c.rtp.LocalAddr().(*net.UDPAddr).AddrPort() }

// leave hangs up because of the bot.
func (c *call) leave(why string) {
	c.over.Do(func() {
		if c.ctx.Err() == nil {
			c.gateway.figures.ended(why)
			c.log.Info().Str("why", why).Dur("after", time.Since(c.begun)).Msg("a bot has left its call")
			c.gateway.bye(c, why)
		}
		c.end()
	})
}

// stop tells the bot that the call is over.
func (c *call) stop() {
	c.over.Do(func() {
		c.sayStop()
		c.end()
	})
}

// sayStop sends the message stop after all others, and closes the socket.
func (c *call) sayStop() {
	if !c.finish() {
		return
	}
	late := time.NewTimer(farewell)
	defer late.Stop()
	select {
	case <-c.written:
		_ = c.ws.Close(websocket.StatusNormalClosure, "")
	case <-c.ctx.Done():
	case <-late.C:
	}
}

// finish lets nothing more be sent but the message stop. It returns false if the bot does not know of the call.
func (c *call) finish() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gateway.clock.remove(c, c.slot)
	c.last = c.says.stop(nil)
	close(c.done)
	return c.greeted
}

// end releases everything.
func (c *call) end() {
	c.close.Do(func() {
		c.cancel()
		c.rest()
		c.gateway.forget(c)
		_ = c.rtp.Close()
		_ = c.ws.CloseNow()
	})
}
