package sim

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"
)

// referTimeout bounds how long the agent waits for word of a transfer.
const referTimeout = 2 * time.Minute

// answer opens the media, sends 200 and stays with the call until it is over.
func (s *Agent) answer(c *Incoming, media remoteMedia) {
	st, ok := s.openMedia(c, media)
	if !ok {
		return
	}
	defer st.close()
	st.echoAfter(s.opts.EchoDelay)

	res := s.sip.response(c.req, sip.StatusOK, "OK", c.answer)
	c.update(func(seen *AgentCall) { seen.Status, seen.Reason, seen.AnsweredAt = sip.StatusOK, "OK", time.Now() })
	if err := c.tx.Respond(res); err != nil {
		// It lost to a CANCEL. Without this sipgo would resend the 200.
		reply(c.req, c.tx, sip.StatusRequestTerminated, "Request Terminated")
		c.update((*AgentCall).cancel)
		return
	}
	d := serverDialog(c.req)
	var by Side
	if s.confirm(c, res) {
		s.clock.add(st)
		if by = s.talk(c); by == SideAgent && c.Refers != nil {
			by = s.refer(c, d)
		}
		s.clock.remove(st)
	}
	if by != SideCaller {
		by = SideAgent
		s.sip.hangUp(d)
	}
	c.update(func(seen *AgentCall) { seen.EndedBy = by })
	s.opts.Log.Info().Str("sip_call_id", c.seen.CallID).Func(c.handler.Describe).Str("by", string(by)).Msg("call ended")
}

// openMedia opens the agent's RTP, with the greeting about to be said, and
// writes the answer to the offer; false means that the call is refused.
func (s *Agent) openMedia(c *Incoming, media remoteMedia) (*stream, bool) {
	ip := s.sip.ip(c.req.Source())
	st, err := openStream(ip)
	if err != nil {
		s.refuse(c, sip.StatusServiceUnavailable, "no RTP port")
		return nil, false
	}
	st.peer.Store(&media)
	if c.Greets != "" {
		st.say(media.codec.encodeAll(Greeting(c.Greets)), false)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream = st
	c.answer = writeSDP(netip.AddrPortFrom(ip, st.local.Port()), rand.Uint64()>>2, []codec{media.codec}, media.event)
	return st, true
}

// early greets before there is an answer, and then there is none.
func (s *Agent) early(c *Incoming, media remoteMedia, d time.Duration) {
	st, ok := s.openMedia(c, media)
	if !ok {
		return
	}
	defer st.close()
	_ = c.tx.Respond(s.sip.response(c.req, sip.StatusSessionInProgress, "Session Progress", c.answer))
	s.clock.add(st)
	defer s.clock.remove(st)
	if s.wait(c, d) {
		s.refuse(c, sip.StatusServiceUnavailable, "Service Unavailable")
	}
}

// confirm resends the 200 until its ACK comes (RFC 3261 §13.3.1.4). A BYE is
// as good as an ACK, since the two may overtake each other.
func (s *Agent) confirm(c *Incoming, res *sip.Response) bool {
	wait := timerT1
	for waited := time.Duration(0); waited < 64*timerT1; wait = min(2*wait, timerT2) {
		select {
		case <-c.acked.ch:
			return true
		case <-c.bye.ch:
			return true
		case <-s.sip.ctx.Done():
			return false
		case <-time.After(wait):
			_ = c.tx.Respond(res)
		}
		waited += wait
	}
	return false
}

// talk waits for the end of the call and says whose it is.
func (s *Agent) talk(c *Incoming) Side {
	var limit <-chan time.Time
	var greeted <-chan struct{}
	if f := s.Fault(); f.Kind == FaultHangup {
		limit = time.After(f.After)
	} else if c.Leaves {
		greeted = c.stream.over.ch
	}
	select {
	case <-c.bye.ch:
		return SideCaller
	case <-limit:
	case <-greeted:
	case <-s.sip.ctx.Done():
	}
	return SideAgent
}

// onReInvite answers with the SDP that was sent before, and follows the
// offer's address.
func (s *Agent) onReInvite(c *Incoming, req *sip.Request, tx sip.ServerTransaction) {
	c.mu.Lock()
	st, body := c.stream, c.answer
	c.seen.ReInvites++
	c.mu.Unlock()
	if st == nil {
		reply(req, tx, sip.StatusRequestPending, "Request Pending")
		return
	}
	if err := st.follow(req.Body()); err != nil {
		reply(req, tx, sip.StatusNotAcceptableHere, Printable(err.Error()))
		return
	}
	_ = tx.Respond(s.sip.response(req, sip.StatusOK, "OK", body))
}

func (s *Agent) onAck(req *sip.Request, _ sip.ServerTransaction) {
	if c, ok := s.dialogs.find(req); ok {
		c.update(func(seen *AgentCall) { seen.AckReceived = true })
		c.acked.set()
	}
}

func (s *Agent) onBye(c *Incoming, req *sip.Request, tx sip.ServerTransaction) {
	c.bye.set()
	// The answer comes when the call is complete, so that who has it finds all of it.
	ctx, cancel := context.WithTimeout(s.sip.ctx, timerT1)
	defer cancel()
	select {
	case <-c.ended.ch:
	case <-ctx.Done():
	}
	ok(req, tx)
}

// refer asks the caller's side to transfer the call and stays until that says
// how it went. The Side is whose turn it is then to end the call.
func (s *Agent) refer(c *Incoming, d *dialog) Side {
	req := d.request(sip.REFER)
	req.AppendHeader(s.sip.contact(c.req.Source()))
	req.AppendHeader(sip.NewHeader("Refer-To", "<"+c.Refers.To+">"))
	for _, h := range c.Refers.Headers {
		req.AppendHeader(sip.NewHeader(h.Name, h.Value))
	}
	status := s.sip.ask(req)
	c.update(func(seen *AgentCall) { seen.ReferTo, seen.ReferStatus = c.Refers.To, status })
	s.opts.Log.Info().Str("sip_call_id", c.seen.CallID).Str("to", c.Refers.To).Int("code", status).Msg("transfer asked for")
	if status < 200 || status > 299 {
		return SideAgent
	}
	select {
	case <-c.bye.ch:
		return SideCaller
	case <-c.referred.ch: // RFC 5589 §6.1: who asked hangs up once it has worked
	case <-time.After(referTimeout):
	case <-s.sip.ctx.Done():
	}
	return SideAgent
}

// onNotify takes down what a transfer has come to (RFC 3515 §2.4.5).
func (s *Agent) onNotify(c *Incoming, req *sip.Request, tx sip.ServerTransaction) {
	if code := sipfragStatus(req.Body()); code >= 200 {
		c.update(func(seen *AgentCall) { seen.ReferResult = code })
		c.referred.set()
	}
	ok(req, tx)
}

// sipfragStatus is the code of a status line (RFC 3420), 0 if it is none.
func sipfragStatus(body []byte) int {
	rest, isStatus := bytes.CutPrefix(body, []byte("SIP/2.0 "))
	if !isStatus || len(rest) < 3 {
		return 0
	}
	n, err := strconv.Atoi(string(rest[:3]))
	if err != nil || n < 100 {
		return 0
	}
	return n
}
