package b2bua

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
)

// PrepareError says why there is no id.
type PrepareError struct {
	Cause  cause.Cause
	Status int // HTTP; 0: no answer
	Err    error
}

func (e *PrepareError) Error() string { return fmt.Sprintf("prepare: %v", e.Err) }

func (e *PrepareError) Unwrap() error { return e.Err }

// attempt is one try at one target. It belongs to its call's goroutine: what
// runs beside it, prepare, is told everything that it needs.
type attempt struct {
	number  int // from 1
	target  *peers.Target
	offer   *sdp.Description // that its INVITE is made of
	formats []string         // of that, that the target may use
	crypto  *sdp.LegCrypto   // its leg's part in SRTP
	line    *legOnWire       // once it is dialled
	cancel  context.CancelFunc
	placed  bool // has a place at its target
	dest    netip.AddrPort
	started time.Time

	reason  string           // why there is one: "" for the route, or reasonTransfer
	vars    *config.Vars     // its own, where it is not for the route
	source  *sip.Request     // whose headers pass on, where that is not the caller's INVITE
	headers []outbound.Field // that its INVITE has besides

	mediaName netip.Addr // our address in the SDP that its target gets

	dropped []string // headers that were left out of its INVITE

	transport     string // that it was dialled by; empty: not dialled
	prepareMS     int64
	prepareStatus int
}

// offered are the formats that the target is offered.
func (a *attempt) offered() []sdp.Format { return a.offer.Pick(a.formats) }

// prepare does what an attempt needs before its INVITE: the platform's id and
// the address of its SIP host.
func prepare(ctx context.Context, number int, t *peers.Target, vars config.Vars, stack *stack) Ready {
	out := requestTarget(ctx, number, t, vars)
	if out.Cause != cause.None {
		return out
	}
	addr, err := stack.resolve(ctx, out.URI.Host)
	if err != nil {
		out.Cause, out.Err = cause.DNSFailed, err
		return out
	}
	port := message.DefaultPort(t.Config.Transport)
	if out.URI.Port > 0 && out.URI.Port <= 65535 {
		port = uint16(out.URI.Port)
	}
	out.Dest = netip.AddrPortFrom(addr, port)
	if message.IsStream(t.Config.Transport) {
		if out.Flow, err = stack.connectTo(ctx, t.Config, t.Config.Transport, out.URI, out.Dest); err != nil {
			out.Cause, out.Err = causeOfError(err), err
		}
	}
	return out
}

// requestTarget does that part of it which needs no SIP: the platform's id and the
// Request-URI.
func requestTarget(ctx context.Context, number int, t *peers.Target, vars config.Vars) Ready {
	out := Ready{Attempt: number}
	fail := func(cause cause.Cause, err error) Ready {
		out.Cause, out.Err = cause, err
		return out
	}
	if !t.Config.URI.UsesPrepare() { // where this fails, the platform need not be asked
		if _, err := outbound.RenderURI(t.Config, vars); err != nil {
			return fail(cause.TemplateFailed, err)
		}
	}
	if t.Preparer != nil && t.Config.Prepare != nil {
		req, err := prepareRequest(t.Config.Prepare, vars)
		if err != nil {
			return fail(cause.TemplateFailed, err)
		}
		begin := time.Now()
		out.AskedAPI = true
		out.Prepared, err = t.Preparer.Prepare(ctx, req)
		out.Elapsed = time.Since(begin)
		switch {
		case err == nil:
			vars.Prepare = &config.PrepareVars{CallID: out.Prepared.CallID, Body: out.Prepared.Body}
		case ctx.Err() != nil || t.Config.Prepare.OnFailure != config.OnFailureDial:
			out.Prepared.Status = prepareStatus(err)
			return fail(prepareCause(err), err)
		default: // dialled without an id
			out.Prepared = peers.Prepared{Status: prepareStatus(err)}
			out.Err = err
		}
	}
	uri, err := outbound.RenderURI(t.Config, vars)
	if err != nil {
		return fail(cause.TemplateFailed, err)
	}
	out.URI = uri
	return out
}

// connectTo gives a connection to a target.
func (s *stack) connectTo(ctx context.Context, t *peers.Dial, transport string, uri sip.Uri, dest netip.AddrPort) (*stream, error) {
	peer := streamPeer{}
	if transport == config.TransportTLS {
		peer = streamPeer{serverName: t.TLS.ServerName, tls: t.TLS}
		if peer.serverName == "" {
			peer.serverName = message.TrimBrackets(uri.Host)
		}
	}
	return s.streams.connect(ctx, transport, dest, peer)
}

// connectInstead gives a TCP connection to a target over UDP. One that can't be
// opened is not tried again for a while: each call would wait for it.
func (s *stack) connectInstead(ctx context.Context, t *peers.Dial, f Ready) (*stream, error) {
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

func prepareRequest(p *config.Prepare, vars config.Vars) (peers.PrepareRequest, error) {
	req := peers.PrepareRequest{CallID: vars.CallID, ModelID: p.ModelID, WorkspaceID: p.WorkspaceID}
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
		req.Variables = append(req.Variables, peers.Variable{Name: v.Name, Value: value})
	}
	return req, nil
}

func prepareCause(err error) cause.Cause {
	if pe, ok := errors.AsType[*PrepareError](err); ok && pe.Cause != cause.None {
		return pe.Cause
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return cause.PrepareTimeout
	}
	return cause.PrepareFailed
}

func prepareStatus(err error) int {
	if pe, ok := errors.AsType[*PrepareError](err); ok {
		return pe.Status
	}
	return 0
}
