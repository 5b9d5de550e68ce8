package gateway

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
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
	// A bot is pinged this often, and must answer within this time.
	pingEvery  = 5 * time.Second
	pongWithin = 5 * time.Second
	// messageRate is how many messages of up to sizeUnit bytes are read from a bot in a second. Longer ones count more.
	messageRate = 1000
	sizeUnit    = 4096
	// quietAfter is how long the caller may send no packet before the bot gets silence.
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

// call is a leg: SIP and RTP on one side, a bot's socket on the other. It has two goroutines: one reads the socket, one
// writes it. The gateway's clock reads and sends RTP.
type call struct {
	// constant
	dialog  liveDialog
	gateway *Gateway
	access  *Access
	log     zerolog.Logger
	ws      *websocket.Conn
	wanted  chan struct{} // holds one value if out is to be written
	done    chan struct{} // closed once out gets no more messages
	written chan struct{} // closed once the writer has ended
	acked   chan struct{}
	begun   time.Time
	ctx     context.Context //nolint:containedctx // the call's life
	cancel  context.CancelFunc

	ack, over, close sync.Once
	leaving          atomic.Bool // a bot that does not read is being hung up on
	pinging          atomic.Bool

	mu      sync.Mutex // guards the fields below
	rtp     port
	peer    netip.AddrPort // where our RTP goes
	latched bool           // peer is where the caller's RTP comes from
	says    outgoing
	out     outbox
	greeted bool   // the bot has got its first messages
	last    []byte // for the bot, after everything in out; once it is set, it is the last
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
	said    transcript
}

// open makes a call out of a dialog, and opens its RTP port and the socket. tell gets the lines for its ladder.
func (g *Gateway) open(
	ctx context.Context, d sealed, access *Access, peer netip.AddrPort, tell func(string),
) (*call, error) {
	ws, err := access.Dial(ctx, d.URL)
	if err != nil {
		return nil, err
	}
	at, err := openPort()
	if err != nil {
		_ = ws.CloseNow()
		return nil, err
	}
	c := &call{
		dialog: liveDialog{sealed: d}, gateway: g, access: access, rtp: at, ws: ws, begun: time.Now(),
		wanted: make(chan struct{}, 1), done: make(chan struct{}), written: make(chan struct{}),
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
	c.peer, c.said.tell = peer, tell
	c.ctx, c.cancel = context.WithCancel(g.ctx)
	context.AfterFunc(c.ctx, c.end)
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
	for _, f := range []func(){c.write, c.read} {
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
	if err := c.gateway.ports.watch(c); err != nil {
		c.gateway.wg.Go(func() { c.leave(botLost, err) })
		return false
	}
	c.greeted = true
	c.send([]byte(connected), c.says.start(nil, parameters))
	c.said.event(toBot, "start of %s%s", c.says.ids.stream, namesOf(parameters))
	c.slot = c.gateway.clock.slotAt(time.Now())
	c.gateway.clock.add(c, c.slot)
	return true
}

// isOver reports whether the bot gets no more messages. c.mu must be held.
func (c *call) isOver() bool { return c.last != nil || c.ctx.Err() != nil }

// leaveClock takes the call from the clock.
func (c *call) leaveClock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gateway.clock.remove(c, c.slot)
}

// tellEnd tells the ladder why the socket is closed, unless it has been told.
func (c *call) tellEnd(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said.end(why)
}

// recovered ends the call, and not the process, after a panic.
func (c *call) recovered() {
	if v := recover(); v != nil {
		c.gateway.panicked(v)
		c.gateway.wg.Go(func() { c.leave(botLost, errPanic) })
	}
}

// send queues messages as one batch, and has them written. c.mu must be held.
func (c *call) send(messages ...[]byte) {
	if !c.hasRoom() {
		return
	}
	for _, message := range messages {
		c.out.took(append(c.out.text, message...))
	}
	c.wakeWriter()
}

// wakeWriter has the writer write what is queued.
func (c *call) wakeWriter() {
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

// hasRoom reports whether a batch may be queued, and counts it. c.mu must be held. A bot that does not read loses its
// call.
func (c *call) hasRoom() bool {
	if c.isOver() {
		return false
	}
	if c.out.batches++; c.out.batches <= maxUnsent {
		return true
	}
	if c.leaving.CompareAndSwap(false, true) {
		c.gateway.wg.Go(func() { c.leave(agentStalled, errUnread) })
	}
	return false
}

// write sends what is queued until the call ends, or the socket has broken: then the reader learns why.
func (c *call) write() {
	defer close(c.written)
	var now outbox
	for {
		select {
		case <-c.wanted:
			c.takeOut(&now)
			if now.each(c.writeOne) != nil {
				return
			}
		case <-c.done:
			c.takeOut(&now)
			if now.each(c.writeOne) == nil {
				_ = c.writeOne(c.last)
			}
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// writeOne writes a message. It ends with the socket, which ends with the call: a context of its own would cost more
// than the message.
func (c *call) writeOne(message []byte) error {
	return c.ws.Write(context.Background(), websocket.MessageText, message)
}

// takeOut exchanges what has been written for what waits.
func (c *call) takeOut(written *outbox) {
	written.empty()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out, *written = *written, c.out
}

// read handles the bot's messages until its socket ends.
func (c *call) read() {
	allowed := rate.NewLimiter(messageRate, messageRate)
	var text bytes.Buffer
	var audio []byte
	for {
		kind, message, err := c.ws.Reader(context.Background()) // it ends with the socket
		if err == nil {
			text.Reset()
			_, err = text.ReadFrom(message)
		}
		if err != nil {
			why := botLost
			status := websocket.CloseStatus(err)
			if status == websocket.StatusNormalClosure || status == websocket.StatusNoStatusRcvd {
				why = botClosed
			}
			c.leave(why, err)
			return
		}
		if allowed.WaitN(c.ctx, 1+text.Len()/sizeUnit) != nil { // the bot has to wait, no message is lost
			return
		}
		if kind != websocket.MessageText {
			c.ignore(errors.New("a binary frame"))
			continue
		}
		if audio = c.handle(text.Bytes(), audio); text.Cap() > maxKept {
			text, audio = bytes.Buffer{}, nil
		}
	}
}

// handle handles a message of the bot. It returns room, or what replaces it as the room for the audio of messages.
func (c *call) handle(text, room []byte) []byte {
	if audio, ok := readMedia(room[:0], text, c.says.ids.stream); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.speak(audio)
		return audio
	}
	m, err := read(text, c.says.ids.stream)
	if err != nil {
		c.ignore(err)
		return room
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Event {
	case "media":
		c.speak(m.Media.Payload)
	case "mark":
		c.said.marked(fromBot, m.Mark.Name, time.Now())
		if !c.play.mark(m.Mark.Name) {
			c.countIgnored("a mark beyond 1500", 1)
		}
	case "clear":
		c.said.event(fromBot, "clear")
		c.sendMarks(c.play.clear())
	}
	return room
}

// speak queues audio of the bot. c.mu must be held.
func (c *call) speak(audio []byte) {
	idle, now := c.play.idle(), time.Now()
	c.said.audio(fromBot, len(audio), now)
	if dropped := c.play.add(audio); dropped > 0 {
		c.countIgnored("audio beyond 30 seconds", dropped)
	}
	if idle {
		c.atOnce(now)
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
		c.said.marked(toBot, name, time.Now())
	}
	c.send(all...)
}

// ignore counts a message that is not used.
func (c *call) ignore(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countIgnored(err.Error(), 1)
}

// countIgnored counts what is ignored, and logs the first of each kind. c.mu must be held.
func (c *call) countIgnored(what string, n int) {
	if c.noted[what] == 0 {
		c.log.Warn().Str("what", what).Msg("ignored something of a bot")
		c.said.event(fromBot, "ignored: %s", what)
	}
	c.noted[what] += n
	c.gateway.figures.ignored.Add(1)
}

// ping ends the call if the bot does not answer.
func (c *call) ping() {
	defer c.recovered()
	defer c.pinging.Store(false)
	ctx, cancel := context.WithTimeout(c.ctx, pongWithin)
	defer cancel()
	if c.ws.Ping(ctx) != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && c.ctx.Err() == nil {
		c.leave(agentStalled, errNoPong)
	}
}

// renegotiate takes the B2BUA's new description, and returns ours.
func (c *call) renegotiate(s *session) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s != nil {
		c.follow(s)
		c.dialog.Law, c.dialog.Event = s.law, s.event
		c.header.PayloadType = s.law
	}
	c.version++
	return describe(c.local(), c.version, c.mode, c.dialog.Law, c.dialog.Event)
}

// toSeal returns what the call's Contact has.
func (c *call) toSeal() sealed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialog.sealed
}

// follow sends to what a description says, until RTP shows another address. c.mu must be held.
func (c *call) follow(s *session) {
	c.peer, c.latched, c.mode = s.addr, false, answerTo(s.mode)
}

// local returns the address of our RTP. It never changes.
func (c *call) local() netip.AddrPort { return c.rtp.at }

// What a call's log line has if no error of the socket ended it.
var (
	errPanic   = errors.New("panic")
	errUnread  = errors.New("the bot does not read its messages")
	errNoPong  = errors.New("the bot does not answer a ping")
	errNoACK   = errors.New("no ACK")
	errOrdered = errors.New("an order over HTTP")
)

// leave hangs up because of the bot.
func (c *call) leave(why string, err error) {
	c.over.Do(func() {
		if c.ctx.Err() == nil {
			c.gateway.figures.ended(why)
			c.log.Info().Str("why", why).AnErr("err", err).Dur("after", time.Since(c.begun)).Msg("a bot has left its call")
			c.tellEnd(err.Error())
			c.gateway.bye(c, why)
			if errors.Is(err, errOrdered) {
				c.sayStop()
			}
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

// finish lets no message but stop be sent from now on. It returns false if the bot does not know of the call.
func (c *call) finish() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gateway.clock.remove(c, c.slot)
	c.last = c.says.stop(nil)
	c.said.event(toBot, "stop")
	close(c.done)
	return c.greeted
}

// end releases everything.
func (c *call) end() {
	c.close.Do(func() {
		c.cancel()
		c.leaveClock()
		c.tellEnd("the call has ended")
		c.gateway.forget(c)
		c.closePort()
		_ = c.ws.CloseNow()
	})
}

func (c *call) closePort() {
	c.gateway.ports.forget(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rtp.close()
}
