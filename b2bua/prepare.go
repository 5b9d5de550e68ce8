package b2bua

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// Preparer asks a platform for the id of a call, before the INVITE.
type Preparer interface {
	// Prepare keeps to the target's time limit itself. Its error is a
	// *PrepareError where the platform, or the way to it, is the reason.
	Prepare(ctx context.Context, req PrepareRequest) (Prepared, error)
}

// PrepareRequest is what a platform is told about a call.
type PrepareRequest struct {
	CallID      string // ours; the same for a retry
	FromNumber  string
	ToNumber    string
	ModelID     string
	WorkspaceID string
	Variables   []Variable
}

// Variable is one custom variable.
type Variable struct{ Name, Value string }

// Prepared is a platform's answer.
type Prepared struct {
	CallID string // the platform's id
	Shared bool   // which it has given to other calls, too
	Body   []byte // the answer as JSON
	Status int    // HTTP
}

// PrepareError says why there is no id.
type PrepareError struct {
	Cause  Cause
	Status int // HTTP; 0: no answer
	Err    error
}

func (e *PrepareError) Error() string { return fmt.Sprintf("prepare: %v", e.Err) }

func (e *PrepareError) Unwrap() error { return e.Err }

// attempt is one try at one target. It belongs to its call's goroutine: what
// runs beside it, prepare, is told everything that it needs.
type attempt struct {
	number  int // from 1
	target  *target
	offer   *description // that its INVITE is made of
	formats []string     // of that, that the target may use
	crypto  *cryptoLeg   // its leg's part in SRTP
	line    *legOnWire   // once it is dialled
	cancel  context.CancelFunc
	placed  bool // has a place at its target
	dest    netip.AddrPort
	started time.Time

	reason  string       // why there is one: "" for the route, or reasonTransfer
	vars    *config.Vars // its own, where it is not for the route
	source  *sip.Request // whose headers pass on, where that is not the caller's INVITE
	headers []field      // that its INVITE has besides

	mediaName netip.Addr // our address in the SDP that its target gets

	dropped []string // headers that were left out of its INVITE

	transport     string // that it was dialled by; empty: not dialled
	prepareMS     int64
	prepareStatus int
}

// offered are the formats that the target is offered.
func (a *attempt) offered() []format { return a.offer.pick(a.formats) }

// prepare does what an attempt needs before its INVITE: the platform's id and
// the address of its SIP host.
func prepare(ctx context.Context, number int, t *target, vars config.Vars, stack *stack) Ready {
	out := requestTarget(ctx, number, t, vars)
	if out.Cause != CauseNone {
		return out
	}
	addr, err := stack.resolve(ctx, out.URI.Host)
	if err != nil {
		out.Cause, out.Err = CauseDNSFailed, err
		return out
	}
	port := defaultPort(t.cfg.Transport)
	if out.URI.Port > 0 && out.URI.Port <= 65535 {
		port = uint16(out.URI.Port)
	}
	out.Dest = netip.AddrPortFrom(addr, port)
	if isStream(t.cfg.Transport) {
		if out.Flow, err = stack.connectTo(ctx, t.cfg, t.cfg.Transport, out.URI, out.Dest); err != nil {
			out.Cause, out.Err = causeOfError(err), err
		}
	}
	return out
}

// requestTarget does that part of it which needs no SIP: the platform's id and the
// Request-URI.
func requestTarget(ctx context.Context, number int, t *target, vars config.Vars) Ready {
	out := Ready{Attempt: number}
	fail := func(cause Cause, err error) Ready {
		out.Cause, out.Err = cause, err
		return out
	}
	if !t.cfg.URI.UsesPrepare() { // where this fails, the platform need not be asked
		if _, err := renderURI(t.cfg, vars); err != nil {
			return fail(CauseTemplateFailed, err)
		}
	}
	if t.preparer != nil && t.cfg.Prepare != nil {
		req, err := prepareRequest(t.cfg.Prepare, vars)
		if err != nil {
			return fail(CauseTemplateFailed, err)
		}
		begin := time.Now()
		out.AskedAPI = true
		out.Prepared, err = t.preparer.Prepare(ctx, req)
		out.Elapsed = time.Since(begin)
		switch {
		case err == nil:
			vars.Prepare = &config.PrepareVars{CallID: out.Prepared.CallID, Body: out.Prepared.Body}
		case ctx.Err() != nil || t.cfg.Prepare.OnFailure != config.OnFailureDial:
			out.Prepared.Status = prepareStatus(err)
			return fail(prepareCause(err), err)
		default: // dialled without an id
			out.Prepared = Prepared{Status: prepareStatus(err)}
			out.Err = err
		}
	}
	uri, err := renderURI(t.cfg, vars)
	if err != nil {
		return fail(CauseTemplateFailed, err)
	}
	out.URI = uri
	return out
}

// connectTo gives a connection to a target.
func (s *stack) connectTo(ctx context.Context, t *config.Target, transport string, uri sip.Uri, dest netip.AddrPort) (*stream, error) {
	peer := streamPeer{}
	if transport == config.TransportTLS {
		peer = streamPeer{serverName: t.TLS.ServerName, tls: t.TLS}
		if peer.serverName == "" {
			peer.serverName = trimBrackets(uri.Host)
		}
	}
	return s.streams.connect(ctx, transport, dest, peer)
}

// connectInstead gives a TCP connection to a target over UDP. One that can't be
// opened is not tried again for a while: each call would wait for it.
func (s *stack) connectInstead(ctx context.Context, t *config.Target, f Ready) (*stream, error) {
	now := time.Now()
	s.mu.Lock()
	refused := s.noTCP[f.Dest]
	s.mu.Unlock()
	if now.Before(refused) {
		return nil, fmt.Errorf("no TCP to %v: %w", f.Dest, errTriedBefore)
	}
	c, err := s.connectTo(ctx, t, config.TransportTCP, f.URI, f.Dest)
	if err != nil && ctx.Err() == nil {
		s.mu.Lock()
		remember(s.noTCP, f.Dest, now.Add(noTCPFor))
		s.mu.Unlock()
	}
	return c, err
}

// noTCPFor is how long a target is taken to have no TCP.
const noTCPFor = 30 * time.Second

var errTriedBefore = errors.New("it could not be opened a moment ago")

func prepareRequest(p *config.Prepare, vars config.Vars) (PrepareRequest, error) {
	req := PrepareRequest{CallID: vars.CallID, ModelID: p.ModelID, WorkspaceID: p.WorkspaceID}
	var err error
	if req.FromNumber, err = p.FromNumber.Render(vars); err != nil {
		return req, fmt.Errorf("prepare.from_number: %w", err)
	}
	if req.ToNumber, err = p.ToNumber.Render(vars); err != nil {
		return req, fmt.Errorf("prepare.to_number: %w", err)
	}
	for _, v := range p.CustomVariables {
		value, err := v.Value.Render(vars)
		if err != nil {
			return req, fmt.Errorf("prepare.custom_variables.%s: %w", v.Name, err)
		}
		req.Variables = append(req.Variables, Variable{v.Name, value})
	}
	return req, nil
}

func prepareCause(err error) Cause {
	if pe, ok := errors.AsType[*PrepareError](err); ok && pe.Cause != CauseNone {
		return pe.Cause
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return CausePrepareTimeout
	}
	return CausePrepareFailed
}

func prepareStatus(err error) int {
	if pe, ok := errors.AsType[*PrepareError](err); ok {
		return pe.Status
	}
	return 0
}
