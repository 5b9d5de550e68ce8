package sim

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

const (
	allowed            = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY"
	defaultAnswerAfter = 600 * time.Millisecond
	defaultRingFor     = 200 * time.Millisecond
)

// These are sipgo's names for the networks of SIP.
const (
	networkUDP = "UDP"
	networkTCP = "TCP"
	networkTLS = "TLS"
)

// Agent is the SIP side of a platform. It takes calls, greets, and repeats the caller's words when the caller pauses.
type Agent struct {
	// Constant.
	opts     AgentOptions
	platform Platform
	sip      *endpoint

	fault   atomic.Pointer[Fault]
	dialogs dialogs[*Incoming]
}

// AgentOptions say where an agent listens and how it takes calls.
type AgentOptions struct {
	Name        string        // shown in the User-Agent header and in errors
	Listen      string        // "127.0.0.1:0" if empty
	Network     string        // UDP if empty, TCP or TLS
	TLS         *tls.Config   // for TLS
	SRTP        string        // SRTPOff, SRTPOptional or SRTPRequired
	AnswerAfter time.Duration // how long the caller must pause before the agent answers; 600ms if zero
	EchoDelay   time.Duration // if set, the agent echoes with this delay instead of waiting for a pause
	RingFor     time.Duration // time between 180 and 200; 200ms if zero, none if negative
	Fault       Fault
	Log         zerolog.Logger
}

// Platform adds the behaviour of a platform to an agent.
type Platform interface {
	// Challenger returns the challenger that checks the credentials of an INVITE. If it is nil, no credentials are
	// required.
	Challenger(Invite) *Challenger
	// NewCall is called for each INVITE that is not challenged, even if a fault refuses it.
	NewCall(*Incoming) Handler
}

// Handler handles one call for a platform. The call's goroutine calls its methods, in this order.
type Handler interface {
	// Admit checks the INVITE. Code 0 accepts it.
	Admit() (code int, reason string)
	// Settle decides about the call while it rings. With code 0 the call is answered. Settle must return when ctx ends.
	Settle(ctx context.Context) (code int, reason string)
	// Describe adds the platform's fields about the call to a log line.
	Describe(e *zerolog.Event)
	// Over is called last, even for a refused call.
	Over()
}

// OpenAgent opens the socket. Serve answers calls. If ctx is cancelled, the calls end, but the listener stays.
func OpenAgent(ctx context.Context, o AgentOptions) (*Agent, error) {
	o.AnswerAfter = cmp.Or(o.AnswerAfter, defaultAnswerAfter)
	o.RingFor = cmp.Or(o.RingFor, defaultRingFor)
	s := &Agent{opts: o}
	s.SetFault(o.Fault)
	var err error
	switch o.Network {
	case networkTCP, networkTLS:
		s.sip, err = listenEndpoint(ctx, o)
	default:
		s.sip, err = openEndpoint(ctx, o.Listen, o.Name, "agent", o.Log, s.drops)
	}
	return s, err
}

// Serve takes calls until Close.
func (s *Agent) Serve(p Platform) {
	s.platform = p
	server := s.sip.server
	server.OnInvite(s.onInvite)
	server.OnAck(s.onAck)
	server.OnBye(s.dialogs.only(s.onBye))
	server.OnNotify(s.dialogs.only(s.onNotify))
	server.OnInfo(s.dialogs.only(accept))
	server.OnUpdate(s.dialogs.only(accept))
	server.OnCancel(noSuchCall) // sipgo itself handles a CANCEL for a known transaction
	server.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) {
		res := sip.NewResponseFromRequest(req, sip.StatusOK, "OK", nil)
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		res.AppendHeader(sip.NewHeader("Accept", "application/sdp"))
		_ = tx.Respond(res)
	})
	s.sip.serve()
}

// Close hangs up and waits for all of the agent's goroutines.
func (s *Agent) Close() error { return s.sip.close() }

// SIPAddr returns the address that takes INVITEs.
func (s *Agent) SIPAddr() netip.AddrPort { return s.sip.local }

// SetFault changes how the agent treats requests from now on.
func (s *Agent) SetFault(f Fault) { s.fault.Store(&f) }

// Fault returns the fault in force.
func (s *Agent) Fault() Fault { return *s.fault.Load() }

// Context ends when the agent closes.
func (s *Agent) Context() context.Context { return s.sip.ctx }

// Enter starts work that Close waits for. It returns false once the agent closes. Each successful Enter needs a Leave.
func (s *Agent) Enter() bool { return s.sip.enter() }

// Leave ends the work that Enter started.
func (s *Agent) Leave() { s.sip.leave() }

// drops reports whether the agent ignores a datagram.
func (s *Agent) drops(b []byte) bool {
	if s.Fault().Kind != faultSilent {
		return false
	}
	method, _, _ := strings.Cut(string(b[:min(len(b), 8)]), " ")
	return method == "INVITE" || method == "CANCEL" || method == "ACK"
}

// onInvite serves a call from its INVITE to its end.
func (s *Agent) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	if req.To() == nil || req.From() == nil || req.CallID() == nil || req.Contact() == nil {
		reply(req, tx, sip.StatusBadRequest, "Incomplete INVITE")
		return
	}
	if s.sip.accept != nil && s.Fault().Kind == faultSilent {
		return
	}
	if tagOf(req.To().Params) != "" {
		s.dialogs.only(s.onReInvite)(req, tx)
		return
	}
	req.To().Params.Add("tag", newTag()) // set before the first response, because every response must carry it
	if !s.Enter() {
		reply(req, tx, sip.StatusServiceUnavailable, "Closing")
		return
	}
	defer s.Leave()
	if s.challenged(req, tx) {
		return
	}
	c := newIncoming(req, tx, s.sip.invite(req.CallID().Value()))
	tx.OnCancel(func(*sip.Request) { c.cancelled.set() })
	reply(req, tx, sip.StatusTrying, "Trying")
	c.handler = s.platform.NewCall(c)
	s.dialogs.add(c.key, c)
	defer c.handler.Over()
	defer s.dialogs.remove(c.key)
	defer c.finish()
	media, code, reason := s.admit(c)
	switch f := s.Fault(); {
	case code != 0:
		s.refuse(c, code, reason)
	case f.Kind == faultEarly:
		s.early(c, media, f.After)
	case s.ring(c):
		s.answer(c, media)
	}
}

// challenged answers an INVITE without valid credentials with 401. It reports whether it did.
func (s *Agent) challenged(req *sip.Request, tx sip.ServerTransaction) bool {
	asks := s.platform.Challenger(inviteOf(req))
	if asks == nil {
		return false
	}
	now := time.Now()
	reason, stale := asks.check(req, now)
	if reason == "" {
		return false
	}
	res := sip.NewResponseFromRequest(req, sip.StatusUnauthorized, "Unauthorized", nil)
	res.AppendHeader(sip.NewHeader("WWW-Authenticate", asks.header(stale, now)))
	_ = tx.Respond(res)
	s.opts.Log.Info().Str("sip_call_id", req.CallID().Value()).Str("reason", reason).Msg("invite challenged")
	return true
}

// admit checks a call against the fault, its offer and the platform. Code 0 accepts it.
func (s *Agent) admit(c *Incoming) (media remoteMedia, code int, reason string) {
	switch f := s.Fault(); f.Kind {
	case FaultBusy:
		return media, sip.StatusBusyHere, "Busy Here"
	case FaultStatus:
		return media, f.Status, "As Asked"
	default:
	}
	media, err := parseAnySDP(c.req.Body())
	if err == nil {
		err = media.allows(s.opts.SRTP)
	}
	if err != nil {
		return media, sip.StatusNotAcceptableHere, err.Error()
	}
	code, reason = c.handler.Admit()
	return media, code, reason
}

// Printable removes the characters that a reason phrase can't have.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

func (s *Agent) refuse(c *Incoming, code int, reason string) {
	reason = Printable(reason)
	reply(c.req, c.tx, code, reason)
	c.update(func(seen *AgentCall) { seen.Status, seen.Reason = code, reason })
	s.opts.Log.Info().Str("sip_call_id", c.seen.CallID).Int("code", code).Str("reason", reason).Msg("invite refused")
}

// ring sends 180 and lets the call ring. It returns false if the call ends first.
func (s *Agent) ring(c *Incoming) bool {
	_ = c.tx.Respond(s.sip.response(c.req, sip.StatusRinging, "Ringing", nil))
	wait := s.opts.RingFor
	if f := s.Fault(); f.Kind == FaultLate {
		wait = f.After
	}
	return s.settle(c) && s.wait(c, wait)
}

// settle waits for the platform's decision. It returns false if the call has ended or the platform has refused it.
func (s *Agent) settle(c *Incoming) bool {
	ctx, cancel := context.WithCancel(s.sip.ctx)
	defer cancel()
	decided := newSignal()
	code, reason := 0, ""
	go func() {
		defer decided.set()
		code, reason = c.handler.Settle(ctx)
	}()
	waits := s.attend(c, decided)
	cancel()
	<-decided.ch
	if waits && code != 0 {
		s.refuse(c, code, reason)
	}
	return waits && code == 0
}

// wait leaves an INVITE unanswered for d. It returns false if the call ends first.
func (s *Agent) wait(c *Incoming, d time.Duration) bool {
	over := newSignal()
	timer := time.AfterFunc(max(0, d), over.set)
	defer timer.Stop()
	return s.attend(c, over)
}

// attend is like wait, but also returns when over is set.
func (s *Agent) attend(c *Incoming, over *signal) bool {
	select {
	case <-over.ch:
		return true
	case <-c.cancelled.ch: // sipgo has answered 487
		c.update((*AgentCall).cancel)
	case <-c.bye.ch: // RFC 3261 §15: a caller may end an early dialog by BYE
		s.refuse(c, sip.StatusRequestTerminated, "Request Terminated")
	case <-c.tx.Done():
	case <-s.sip.ctx.Done():
		s.refuse(c, sip.StatusServiceUnavailable, "Closing")
	}
	return false
}
