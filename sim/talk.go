package sim

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

// referTimeout is the time limit for the outcome of a transfer.
const referTimeout = 2 * time.Minute

// answer opens the media, sends 200 and serves the call until its end.
func (s *Agent) answer(c *Incoming, media remoteMedia) {
	st, ok := s.openMedia(c, media)
	if !ok {
		return
	}
	defer st.close()
	st.repeat(&echoQueue{
		delay: cmp.Or(s.opts.EchoDelay, s.opts.AnswerAfter), waits: s.opts.EchoDelay == 0, codec: media.codec,
	})

	res := s.sip.response(c.req, sip.StatusOK, "OK", c.answer)
	c.update(func(seen *AgentCall) { seen.Status, seen.Reason, seen.AnsweredAt = sip.StatusOK, "OK", time.Now() })
	if err := c.tx.Respond(res); err != nil {
		// A CANCEL came first. Without this response sipgo would resend the 200.
		reply(c.req, c.tx, sip.StatusRequestTerminated, "Request Terminated")
		c.update((*AgentCall).cancel)
		return
	}
	d := serverDialog(c.req)
	var by Side
	if s.confirm(c, res) {
		s.sip.clock.add(st)
		by = s.talk(c)
		if by == SideAgent && c.Refers != nil {
			by = s.refer(c, d)
		}
		s.sip.clock.remove(st)
	}
	if by != SideCaller {
		by = SideAgent
		s.sip.hangUp(d)
	}
	c.update(func(seen *AgentCall) { seen.EndedBy = by })
	s.opts.Log.Info().Str("sip_call_id", c.seen.CallID).Func(c.handler.Describe).Str("by", string(by)).Msg("call ended")
}

// openMedia opens the agent's RTP, sets its greeting and writes the SDP answer. It returns false if the call was
// refused.
func (s *Agent) openMedia(c *Incoming, media remoteMedia) (*stream, bool) {
	ip := s.sip.ip(c.req.Source())
	st, err := openStream(ip)
	if err != nil {
		s.refuse(c, sip.StatusServiceUnavailable, "no RTP port")
		return nil, false
	}
	st.peer.Store(&media)
	if c.Party != nil {
		st.join(c.Party)
	} else if c.Greets != "" {
		st.say(media.codec.encodeAll(Greeting(c.Greets)), false)
	}
	answer := writeSDP(netip.AddrPortFrom(ip, st.local.Port()), rand.Uint64()>>2, []codec{media.codec}, media.event)
	if media.secure {
		if answer, err = st.encrypt(answer, &media); err != nil {
			st.close()
			s.refuse(c, sip.StatusNotAcceptableHere, err.Error())
			return nil, false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream, c.answer = st, answer
	return st, true
}

// early plays the greeting as early media and then refuses the call.
func (s *Agent) early(c *Incoming, media remoteMedia, d time.Duration) {
	st, ok := s.openMedia(c, media)
	if !ok {
		return
	}
	defer st.close()
	_ = c.tx.Respond(s.sip.response(c.req, sip.StatusSessionInProgress, "Session Progress", c.answer))
	s.sip.clock.add(st)
	defer s.sip.clock.remove(st)
	if s.wait(c, d) {
		s.refuse(c, sip.StatusServiceUnavailable, "Service Unavailable")
	}
}

// confirm resends the 200 until the ACK comes (RFC 3261 §13.3.1.4). A BYE also ends this, because it may overtake the
// ACK.
func (s *Agent) confirm(c *Incoming, res *sip.Response) bool {
	wait := timerT1
	for waited := time.Duration(0); waited < 64*timerT1; wait = min(2*wait, timerT2) {
		select {
		case <-c.acked.ch:
			return true
		case <-c.bye.ch:
			return true
		case <-s.sip.ctx.Done():
			select { // no BYE before the ACK (RFC 3261 §15), which is usually on its way
			case <-c.acked.ch:
			case <-c.bye.ch:
			case <-time.After(timerT1):
			}
			return false
		case <-time.After(wait):
			_ = c.tx.Respond(res)
		}
		waited += wait
	}
	return false
}

// talk waits for the end of the call and returns the side that ended it.
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

// onReInvite repeats the agent's SDP and sends RTP to the address of the new offer.
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
	// The response waits until the call is complete, so that its receiver sees the complete call.
	ctx, cancel := context.WithTimeout(s.sip.ctx, timerT1)
	defer cancel()
	select {
	case <-c.ended.ch:
	case <-ctx.Done():
	}
	ok(req, tx)
}

// refer requests a transfer from the caller's side and waits for its outcome. It returns the side that ended the call,
// or SideAgent if the agent must end it.
func (s *Agent) refer(c *Incoming, d *dialog) Side {
	req := d.request(sip.REFER)
	req.AppendHeader(s.sip.contact(c.req.Source()))
	req.AppendHeader(sip.NewHeader("Refer-To", "<"+c.Refers.To+">"))
	for _, h := range c.Refers.Headers {
		req.AppendHeader(sip.NewHeader(h.Name, h.Value))
	}
	status := s.sip.ask(req)
	c.update(func(seen *AgentCall) { seen.ReferTo, seen.ReferStatus = c.Refers.To, status })
	s.opts.Log.Info().Str("sip_call_id", c.seen.CallID).Str("to", c.Refers.To).Int("code", status).
		Msg("transfer asked for")
	if status < 200 || status > 299 {
		return SideAgent
	}
	select {
	case <-c.bye.ch:
		return SideCaller
	case <-c.referred.ch: // RFC 5589 §6.1: after a success, the side that asked hangs up
	case <-time.After(referTimeout):
	case <-s.sip.ctx.Done():
	}
	return SideAgent
}

// onNotify records the outcome of a transfer (RFC 3515 §2.4.5).
func (s *Agent) onNotify(c *Incoming, req *sip.Request, tx sip.ServerTransaction) {
	if code := sipfragStatus(req.Body()); code >= 200 {
		c.update(func(seen *AgentCall) { seen.ReferResult = code })
		c.referred.set()
	}
	ok(req, tx)
}

// sipfragStatus returns the code of a status line (RFC 3420), or 0.
func sipfragStatus(body []byte) (code int) {
	if _, err := fmt.Sscanf(string(body), "SIP/2.0 %3d", &code); err != nil || code < 100 {
		return 0
	}
	return code
}
