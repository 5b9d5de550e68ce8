package calltest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/media"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

var toldCalls = flag.Int("told", 200, "how many random calls TestToldWhateverHappens makes")

// anyTell is tellConfig with agents that are rescued and may transfer their callers.
var anyTell = replacedOnce(tellConfig,
	"tell: {sound: eu}", "tell: {sound: eu}, rescue: {}",
	`20:32681"}`, `20:32681", transfer: local, transfer_numbers: ["^\\+1509"]}`,
	`"^\\+1509", targets: [spare]}`, `"^\\+1509", targets: [spare]}
  - {target: agent, to: "^\\+1509", targets: [spare]}`,
)

// replacedOnce replaces texts, in pairs of old and new, each of which must be there once.
func replacedOnce(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			panic(fmt.Sprintf("%q is there %d times", pairs[i], n))
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// toldCall is one random call of a route that tells its callers something. It judges what reaches the caller by what
// the media was asked for, and receipts by what it says was sent.
type toldCall struct {
	w         *world
	t         *testing.T
	r         *rand.Rand
	d         *dialogue
	log       []string
	asks      bool      // the configuration hangs up on a caller that has not pressed 1
	whole     bool      // the statement was sent whole at least once
	some      bool      // some statement has come to its end
	lets      bool      // the configuration connects callers that did not hear the whole statement
	mostSent  int64     // packets that one statement has sent
	ones      int       // how often the caller has pressed 1
	described string    // by the caller's last re-INVITE
	moved     time.Time // when the caller held the call, or moved, for the last time
	replaced  time.Time // when the process was replaced for the last time
	ended     bool

	mu       sync.Mutex
	receipts []record.Told
	broken   error         // what the disk says
	slow     time.Duration // how long it takes
}

// Write implements b2bua.Options.Receipts.
func (c *toldCall) Write(_ string, _ time.Time, t record.Told) error {
	time.Sleep(c.slow)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.receipts = append(c.receipts, t)
	}
	return c.broken
}

// did notes a step, for the message of a failure.
func (c *toldCall) did(format string, a ...any) { c.log = append(c.log, fmt.Sprintf(format, a...)) }

func (c *toldCall) fail(format string, a ...any) {
	c.t.Helper()
	c.t.Errorf("%s\nsteps: %s", fmt.Sprintf(format, a...), strings.Join(c.log, "; "))
}

// session returns the call's media, or nil.
func (c *toldCall) session() *fakeSession {
	c.w.relay.mu.Lock()
	defer c.w.relay.mu.Unlock()
	if len(c.w.relay.sessions) == 0 {
		return nil
	}
	return c.w.relay.sessions[len(c.w.relay.sessions)-1]
}

// hears reports whether the caller hears the statement.
func (c *toldCall) hears(s *fakeSession) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plays[media.SideA]
	return p.Sound != nil && p.Sound.Duration() == statement && p.Whole && !s.began[media.SideA].IsZero()
}

// statementEnds ends the statement if its time has come.
func (c *toldCall) statementEnds() {
	s := c.session()
	if s == nil {
		return
	}
	s.mu.Lock()
	p, began, restarts := s.plays[media.SideA], s.began[media.SideA], s.restarts[media.SideA]
	s.mu.Unlock()
	if !c.hears(s) || time.Since(began) < statement-p.From {
		return
	}
	if p.From > 0 && c.moved.After(c.replaced) && !began.Before(c.moved) {
		c.fail("the statement does not begin again after a move: it goes on at %v", p.From)
	}
	sent := saidWhole()
	sent.Restarts = restarts
	sent.Packets = int64((statement - p.From) / (20 * time.Millisecond))
	if c.r.IntN(6) == 0 {
		sent.Missed, sent.Packets = 3, sent.Packets-3
	}
	missed := sent.Missed
	if p.From > 0 {
		missed += s.missed
	}
	c.whole = c.whole || missed == 0
	c.mostSent, c.some = max(c.mostSent, int64(statement/(20*time.Millisecond))-missed), true
	c.did("the statement ends, %d missed", sent.Missed)
	s.mu.Lock()
	s.sent[media.SideA], s.began[media.SideA] = sent, time.Time{}
	s.mu.Unlock()
	s.onEvent(media.EventPlayed{Side: media.SideA, ID: p.ID, Sent: sent})
}

// opens judges that the agent's packets begin to reach the caller.
func (c *toldCall) opens() {
	if !c.whole && (!c.lets || !c.some) {
		c.fail("the agent is heard before the statement's end")
	}
	if c.asks && c.ones == 0 {
		c.fail("the caller hears the agent without having accepted")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil && len(c.receipts) == 0 {
		c.fail("the agent is heard before the receipt is written")
	}
}

// agentActs lets a target answer what it has got.
func (c *toldCall) agentActs(p *peer) {
	for _, m := range p.rest() {
		switch {
		case strings.HasPrefix(m.raw, "INVITE"):
			switch n := c.r.IntN(9); n {
			case 0:
				p.reply(m, 503, "No", "a", "")
			case 1:
				p.reply(m, 486, "Busy", "a", "")
			case 2:
				p.reply(m, 180, "Ringing", "a", "")
			case 3:
				p.reply(m, 183, "Progress", "a", agentSDP())
				p.reply(m, 200, "OK", "a", agentSDP())
			case 4:
				p.reply(m, 200, "OK", "a", "")
			default:
				p.reply(m, 200, "OK", "a", agentSDP())
			}
			c.did("a target answers")
			if c.r.IntN(5) == 0 {
				synctest.Wait()
				c.agentAsks(p, m)
			}
		case strings.HasPrefix(m.raw, "BYE"), strings.HasPrefix(m.raw, "CANCEL"),
			strings.HasPrefix(m.raw, "OPTIONS"), strings.HasPrefix(m.raw, "NOTIFY"):
			p.reply(m, 200, "OK", "a", "")
		}
	}
}

// agentAsks sends a request of an agent that has just answered: it leaves, dies, or wants to transfer the caller.
func (c *toldCall) agentAsks(p *peer, invite received) {
	switch n := c.r.IntN(5); n {
	case 0, 1:
		p.agentRequest("BYE", invite, "a", 1, pick([]string{"X-Why: done", "Reason: Q.850;cause=41"}, n))
		c.did("the agent hangs up, %d", n)
	case 2:
		p.agentRequest("REFER", invite, "a", 1, "Refer-To: <sip:+15095550100@198.51.100.1>",
			"Contact: <sip:agent@192.0.2.20:32681>")
		c.did("the agent transfers the caller")
	default:
		p.agentRequest(pick([]string{"OPTIONS", "UPDATE"}, n-3), invite, "a", 1)
	}
}

// callerReplies lets the caller answer what it has got.
func (c *toldCall) callerReplies() {
	w := c.w
	for _, m := range w.carrier.rest() {
		switch {
		case strings.HasPrefix(m.raw, "SIP/2.0 200") && strings.Contains(m.value("CSeq"), "INVITE"):
			c.d.learn(m)
			if c.r.IntN(8) > 0 { // else the ACK is lost
				w.carrier.ack(c.d)
			}
		case strings.HasPrefix(m.raw, "BYE"):
			w.carrier.reply(m, 200, "OK", "", "")
			c.ended = true
		case strings.HasPrefix(m.raw, "OPTIONS"):
			w.carrier.reply(m, 200, "OK", "", "")
		}
	}
}

// describes sends a re-INVITE.
func (c *toldCall) describes(session string) {
	if session != c.described {
		c.described, c.moved = session, time.Now()
	}
	c.w.carrier.within(c.d, "INVITE", session, "Content-Type: application/sdp")
}

// acts makes one random step.
func (c *toldCall) acts() {
	w := c.w
	c.callerReplies()
	c.agentActs(w.agent)
	c.agentActs(w.agent2)
	synctest.Wait()
	n := c.r.IntN(24)
	if c.d.toTag == "" && (n < 2 || n == 6) { // there is no dialog yet
		n = 24
	}
	switch n {
	case 0:
		c.did("hold")
		c.describes(siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=sendonly"))
	case 1:
		c.did("resume, moved")
		c.describes(siptest.SessionAt("192.0.2.10", 20010, "0 101"))
	case 2:
		if c.session() == nil {
			break
		}
		c.did("keys")
		key := pick([]byte{'1', '2'}, c.r.IntN(2))
		if key == '1' {
			c.ones++
		}
		w.presses(key)
	case 3:
		c.did("kill")
		c.replaced = time.Now()
		w.restart()
	case 4:
		c.replaced = time.Now()
		c.did("upgrade: %v", w.upgrade())
	case 5:
		for _, live := range w.server.Live(w.t.Context()) {
			id := live.Record.ID
			_, err := w.server.Play(w.t.Context(), id, bridge.PlayRequest{Side: media.SideA, Sound: bridge.SoundNone})
			order := pick([]bridge.Order{bridge.OrderHold, bridge.OrderUnhold, bridge.OrderRecord}, c.r.IntN(3))
			_, other := w.server.Order(w.t.Context(), id, order)
			_, moved := w.server.Transfer(w.t.Context(), id, toNumber("+15095550100"))
			c.did("orders: %v, %v, %v", err, other, moved)
		}
	case 6:
		if c.r.IntN(6) == 0 {
			c.did("the caller hangs up")
			w.carrier.bye(c.d)
		}
	case 7:
		if s := c.session(); s != nil && c.hears(s) {
			c.did("the media moves the caller")
			s.moves(media.SideA)
		}
	default:
		time.Sleep(time.Duration(c.r.IntN(1500)) * time.Millisecond)
	}
	synctest.Wait()
	c.statementEnds()
	synctest.Wait()
}

// play makes the call.
func (c *toldCall) play() {
	w := c.w
	w.relay.opens, w.relay.clocked = c.opens, true
	if c.r.IntN(6) == 0 {
		w.relay.missed = 2
	}
	if c.r.IntN(3) > 0 { // the targets' usual time to answer is known, so they are called during the statement
		w.usuallyAnswers("agent", 3*time.Second)
		w.usuallyAnswers("spare", 3*time.Second)
	}
	c.d = w.carrier.newCall("+15075785607")
	w.carrier.invite(c.d)
	for range 60 {
		if c.acts(); c.ended {
			break
		}
	}
	for range 40 { // a caller that holds the call is told within two minutes, or not at all
		time.Sleep(5 * time.Second)
		synctest.Wait()
		c.statementEnds()
		c.callerReplies()
	}
	if w.server.Calls() > 0 && !c.some {
		c.fail("the statement does not end")
	}
	w.server.HangupAll()
	w.drain(3 * time.Minute)
	if !w.server.Idle() {
		c.fail("calls or legs are left behind; %d calls", w.server.Calls())
	}
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	for i := range w.sink.done {
		r := &w.sink.done[i]
		if r.Told != nil && (r.Told.Whole && !c.whole || r.Told.Packets > max(c.mostSent, 250)) {
			c.fail("the record claims %+v", r.Told)
		}
	}
	for _, t := range c.receipts {
		if t.Whole && !c.whole || t.Packets > c.mostSent {
			c.fail("a receipt claims %+v", t)
		}
	}
}

// Whatever happens, no agent is heard before the whole statement was said, no receipt claims more than was sent, and
// the process keeps no resource of the call.
func TestToldWhateverHappens(t *testing.T) {
	settings := []string{
		"", "early: true", `accept: {key: "1", within: 3s}`, `accept: {key: "1", within: 3s, otherwise: continue}`,
		`accept: {key: "1", within: 3s, otherwise: {route: people}}`, "required: false", "not_taken: us",
	}
	for seed := range *toldCalls {
		r := rand.New(rand.NewPCG(uint64(seed), 70))
		set := settings[seed%len(settings)]
		yaml := anyTell
		if set != "" {
			yaml = strings.Replace(yaml, "{sound: eu}", "{sound: eu, "+set+"}", 1)
		}
		c := &toldCall{r: r, lets: strings.Contains(set, "required: false"), asks: strings.HasSuffix(set, "within: 3s}")}
		c.did("seed %d, %s", seed, set)
		if r.IntN(5) == 0 {
			c.broken = fmt.Errorf("no space left on device")
		}
		c.slow = time.Duration(r.IntN(1500)) * time.Millisecond
		synctest.Test(t, func(t *testing.T) {
			c.w = newWorld(t, yaml, func(o *b2bua.Options) { o.Receipts, o.Log = c, zerolog.Nop() })
			defer c.w.close()
			c.t = t
			c.play()
		})
		if t.Failed() {
			return
		}
	}
}
