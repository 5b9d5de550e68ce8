package sim

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

const allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY"

// agent is the SIP side of a stand-in: its calls from the INVITE to the end.
type agent struct {
	// constant
	platform platform
	manner   manner
	log      zerolog.Logger
	sip      *endpoint
	clock    *clock

	fault atomic.Pointer[Fault]

	mu      sync.Mutex            // guards what follows
	dialogs map[string]*agentCall // by Call-ID and our tag
	history []*agentCall
}

// platform is what the agents of two platforms do differently.
type platform interface {
	// challenger asks an INVITE for credentials; nil asks for nothing.
	challenger(req *sip.Request) *challenger
	// admit checks an INVITE. Code 0 lets it in.
	admit(c *agentCall, req *sip.Request) (media remoteMedia, code int, reason string)
	// settle decides, while the call rings, what becomes of it. Code 0 answers
	// it. It returns soon once ctx ends.
	settle(ctx context.Context, c *agentCall) (code int, reason string)
	// over is called when a call has ended.
	over(c *agentCall)
}

// manner is how an agent takes calls.
type manner struct {
	mediaAddr netip.Addr // address of RTP; the SIP listener's if zero
	echoDelay time.Duration
	ringFor   time.Duration // between 180 and 200
}

// onInvite serves a call from its INVITE to its end.
func (s *agent) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	if req.To() == nil || req.From() == nil || req.CallID() == nil || req.Contact() == nil {
		reply(req, tx, sip.StatusBadRequest, "Incomplete INVITE")
		return
	}
	if tagOf(req.To().Params) != "" {
		s.onReInvite(req, tx)
		return
	}
	tag := newTag()
	req.To().Params.Add("tag", tag) // before any response: all of them have it
	if !s.sip.enter() {
		reply(req, tx, sip.StatusServiceUnavailable, "Closing")
		return
	}
	defer s.sip.leave()
	if s.challenged(req, tx) {
		return
	}
	c := newAgentCall(req, tag, s.sip.sock.invite(req.CallID().Value()))
	cancelled := newSignal()
	tx.OnCancel(func(*sip.Request) { cancelled.set() })
	reply(req, tx, sip.StatusTrying, "Trying")

	media, code, reason := s.platform.admit(c, req)
	s.remember(c)
	defer s.platform.over(c)
	defer s.forget(c)
	defer c.finish()
	if code != 0 {
		s.refuse(c, req, tx, code, reason)
		return
	}
	if f := s.Fault(); f.Kind == FaultEarly {
		s.early(c, req, tx, cancelled, media, f.After)
		return
	}
	if !s.ring(c, req, tx, cancelled) {
		return
	}
	s.answer(c, req, tx, media)
}

// printable makes an error fit a reason phrase.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

func (s *agent) refuse(c *agentCall, req *sip.Request, tx sip.ServerTransaction, code int, reason string) {
	reply(req, tx, code, reason)
	c.update(func(seen *AgentCall) { seen.Status, seen.Reason = code, reason })
	s.log.Info().Str("sip_call_id", c.seen.CallID).Int("code", code).Str("reason", reason).Msg("invite refused")
}

// ring sends 180 and waits as long as the agent lets it ring; false means
// that there is nobody left to answer.
func (s *agent) ring(c *agentCall, req *sip.Request, tx sip.ServerTransaction, cancelled *signal) bool {
	res := sip.NewResponseFromRequest(req, sip.StatusRinging, "Ringing", nil)
	res.AppendHeader(s.sip.contact("agent", req.Source()))
	_ = tx.Respond(res)
	wait := s.manner.ringFor
	if f := s.Fault(); f.Kind == FaultLate {
		wait = f.After
	}
	return s.settle(c, req, tx, cancelled) && s.wait(c, req, tx, cancelled, wait)
}

// settle lets the platform make up its mind about a call that rings; false
// means that there is nobody left to answer, or nothing to answer with.
func (s *agent) settle(c *agentCall, req *sip.Request, tx sip.ServerTransaction, cancelled *signal) bool {
	ctx, cancel := context.WithCancel(s.sip.ctx)
	defer cancel()
	decided := newSignal()
	code, reason := 0, ""
	go func() {
		defer decided.set()
		code, reason = s.platform.settle(ctx, c)
	}()
	waits := s.attend(c, req, tx, cancelled, decided)
	cancel()
	<-decided.ch
	if waits && code != 0 {
		s.refuse(c, req, tx, code, reason)
	}
	return waits && code == 0
}

// wait lets an INVITE that is not answered be for a while; false means that
// there is nobody left to answer.
func (s *agent) wait(c *agentCall, req *sip.Request, tx sip.ServerTransaction, cancelled *signal, d time.Duration) bool {
	over := newSignal()
	timer := time.AfterFunc(max(0, d), over.set)
	defer timer.Stop()
	return s.attend(c, req, tx, cancelled, over)
}

// attend is wait until something happens.
func (s *agent) attend(c *agentCall, req *sip.Request, tx sip.ServerTransaction, cancelled, over *signal) bool {
	select {
	case <-over.ch:
		return true
	case <-cancelled.ch: // sipgo answers 487 by itself
		c.update(func(seen *AgentCall) {
			seen.GotCancel = true
			seen.Status, seen.Reason = sip.StatusRequestTerminated, "Request Terminated"
		})
	case <-c.bye.ch: // RFC 3261 §15: a caller may end an early dialog by BYE
		s.refuse(c, req, tx, sip.StatusRequestTerminated, "Request Terminated")
	case <-tx.Done():
	case <-s.sip.ctx.Done():
		s.refuse(c, req, tx, sip.StatusServiceUnavailable, "Closing")
	}
	return false
}

// answer opens the media, sends 200 and stays with the call until it is over.
func (s *agent) answer(c *agentCall, req *sip.Request, tx sip.ServerTransaction, media remoteMedia) {
	st, body, ok := s.openMedia(c, req, tx, media)
	if !ok {
		return
	}
	defer st.close()
	st.echoAfter(s.manner.echoDelay)

	res := s.answerTo(req, body)
	c.mu.Lock()
	c.stream, c.answer = st, body
	c.seen.Status, c.seen.Reason, c.seen.AnsweredAt = sip.StatusOK, "OK", time.Now()
	c.mu.Unlock()
	if err := tx.Respond(res); err != nil {
		// It lost to a CANCEL. Without this sipgo would resend the 200.
		reply(req, tx, sip.StatusRequestTerminated, "Request Terminated")
		c.update(func(seen *AgentCall) {
			seen.GotCancel, seen.AnsweredAt = true, time.Time{}
			seen.Status, seen.Reason = sip.StatusRequestTerminated, "Request Terminated"
		})
		return
	}
	d := serverDialog(req)
	var by Side
	if s.confirm(c, tx, res) {
		s.clock.add(st)
		if by = s.talk(c); by == SideAgent && c.refers != nil {
			by = s.refer(c, d, req.Source())
		}
		s.clock.remove(st)
	}
	if by != SideCaller {
		by = SideAgent
		s.sayBye(d)
	}
	c.update(func(seen *AgentCall) { seen.EndedBy = by })
	s.log.Info().Func(c.logged).Str("by", string(by)).Msg("call ended")
}

// openMedia opens the agent's RTP, with the greeting about to be said, and
// writes the answer to the offer; false means that the call is refused.
func (s *agent) openMedia(c *agentCall, req *sip.Request, tx sip.ServerTransaction, media remoteMedia) (*stream, []byte, bool) {
	ip := s.manner.mediaAddr
	if !ip.IsValid() {
		ip = s.sip.ip(req.Source())
	}
	st, err := openStream(ip)
	if err != nil {
		s.refuse(c, req, tx, sip.StatusServiceUnavailable, "no RTP port")
		return nil, nil, false
	}
	st.peer.Store(&media)
	if c.greets != "" {
		st.say(media.codec.encodeAll(Greeting(c.greets)), false)
	}
	return st, writeSDP(netip.AddrPortFrom(ip, st.local.Port()), rand.Uint64()>>2, []codec{media.codec}, media.event), true
}

// early greets before there is an answer, and then there is none.
func (s *agent) early(c *agentCall, req *sip.Request, tx sip.ServerTransaction, cancelled *signal, media remoteMedia, d time.Duration) {
	st, body, ok := s.openMedia(c, req, tx, media)
	if !ok {
		return
	}
	defer st.close()
	c.mu.Lock()
	c.stream, c.answer = st, body
	c.mu.Unlock()
	res := sip.NewResponseFromRequest(req, sip.StatusSessionInProgress, "Session Progress", body)
	res.AppendHeader(s.sip.contact("agent", req.Source()))
	res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	_ = tx.Respond(res)
	s.clock.add(st)
	defer s.clock.remove(st)
	if s.wait(c, req, tx, cancelled, d) {
		s.refuse(c, req, tx, sip.StatusServiceUnavailable, "Service Unavailable")
	}
}

func (s *agent) answerTo(req *sip.Request, body []byte) *sip.Response {
	res := sip.NewSDPResponseFromRequest(req, body)
	res.AppendHeader(s.sip.contact("agent", req.Source()))
	res.AppendHeader(sip.NewHeader("Allow", allowed))
	return res
}

// confirm resends the 200 until its ACK comes (RFC 3261 §13.3.1.4). A BYE is
// as good as an ACK, since the two may overtake each other.
func (s *agent) confirm(c *agentCall, tx sip.ServerTransaction, res *sip.Response) bool {
	wait, waited := timerT1, time.Duration(0)
	for waited < 64*timerT1 {
		timer := time.NewTimer(wait)
		select {
		case <-c.acked.ch:
			timer.Stop()
			return true
		case <-c.bye.ch:
			timer.Stop()
			return true
		case <-s.sip.ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			_ = tx.Respond(res)
		}
		waited += wait
		wait = min(2*wait, timerT2)
	}
	return false
}

// talk waits for the end of the call and says whose it is.
func (s *agent) talk(c *agentCall) Side {
	var limit <-chan time.Time
	f, after := s.Fault(), time.Duration(0)
	if c.greets != "" {
		after = greetingLength
	}
	if f.Kind == FaultHangup {
		after = f.After
	}
	if c.leaves || f.Kind == FaultHangup {
		timer := time.NewTimer(after)
		defer timer.Stop()
		limit = timer.C
	}
	select {
	case <-c.bye.ch:
		return SideCaller
	case <-limit:
	case <-s.sip.ctx.Done():
	}
	return SideAgent
}

// sayBye sends the BYE and waits for its answer; of a platform that closes
// nobody waits.
func (s *agent) sayBye(d *dialog) {
	bye := d.request(sip.BYE)
	if s.sip.ctx.Err() != nil {
		_ = s.sip.client.WriteRequest(bye)
		return
	}
	s.sip.ask(bye)
}

// onReInvite answers with the SDP that was sent before, and follows the
// offer's address.
func (s *agent) onReInvite(req *sip.Request, tx sip.ServerTransaction) {
	c := s.find(req)
	if c == nil {
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	c.mu.Lock()
	st, body := c.stream, c.answer
	c.seen.ReInvites++
	c.mu.Unlock()
	if st == nil {
		reply(req, tx, sip.StatusRequestPending, "Request Pending")
		return
	}
	if len(req.Body()) > 0 {
		media, err := parseSDP(req.Body())
		if err != nil {
			reply(req, tx, sip.StatusNotAcceptableHere, printable(err.Error()))
			return
		}
		media.codec = st.peer.Load().codec
		st.peer.Store(&media)
	}
	_ = tx.Respond(s.answerTo(req, body))
}

func (s *agent) onAck(req *sip.Request, _ sip.ServerTransaction) {
	if c := s.find(req); c != nil {
		c.update(func(seen *AgentCall) { seen.AckReceived = true })
		c.acked.set()
	}
}

func (s *agent) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c := s.find(req)
	if c == nil {
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	c.bye.set()
	// Whoever has the answer finds the call complete.
	ctx, cancel := context.WithTimeout(s.sip.ctx, timerT1)
	defer cancel()
	select {
	case <-c.ended.ch:
	case <-ctx.Done():
	}
	ok(req, tx)
}

func (s *agent) inDialog(req *sip.Request, tx sip.ServerTransaction) {
	if s.find(req) == nil {
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	ok(req, tx)
}

func (s *agent) onOptions(req *sip.Request, tx sip.ServerTransaction) {
	res := sip.NewResponseFromRequest(req, sip.StatusOK, "OK", nil)
	res.AppendHeader(sip.NewHeader("Allow", allowed))
	res.AppendHeader(sip.NewHeader("Accept", "application/sdp"))
	_ = tx.Respond(res)
}
