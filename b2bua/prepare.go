package b2bua

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
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

// prepare gets an attempt's requirements before its INVITE: the platform's id, the
// address of its SIP host, and the connection to it.
func prepare(ctx context.Context, number int, t *peers.Target, vars config.Vars, stack *transport.Stack) Ready {
	out := requestTarget(ctx, number, t, vars)
	if out.Cause != cause.None {
		return out
	}
	addr, err := stack.Resolve(ctx, out.URI.Host)
	if err != nil {
		out.Cause, out.Err = cause.DNSFailed, err
		return out
	}
	port := message.DefaultPort(t.Dial.Transport)
	if out.URI.Port > 0 && out.URI.Port <= 65535 {
		port = uint16(out.URI.Port)
	}
	out.Dest = netip.AddrPortFrom(addr, port)
	if message.IsStream(t.Dial.Transport) {
		if out.Flow, err = stack.Connect(ctx, t.Dial.TLS, t.Dial.Transport, out.URI, out.Dest); err != nil {
			out.Cause, out.Err = transport.CauseOf(err), err
		}
	}
	return out
}

// requestTarget gets the part that needs no SIP: the platform's id and the
// Request-URI.
func requestTarget(ctx context.Context, number int, t *peers.Target, vars config.Vars) Ready {
	out := Ready{Attempt: number}
	fail := func(cause cause.Cause, err error) Ready {
		out.Cause, out.Err = cause, err
		return out
	}
	rendered := !t.Dial.URI.UsesPrepare()
	if rendered { // if this fails, there is no need to ask the platform
		var err error
		if out.URI, err = outbound.RenderURI(t.Dial, vars); err != nil {
			return fail(cause.TemplateFailed, err)
		}
	}
	if t.Preparer != nil && t.Dial.Prepare != nil {
		req, err := prepareRequest(t.Dial.Prepare, vars)
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
		case ctx.Err() != nil || t.Dial.Prepare.OnFailure != config.OnFailureDial:
			out.Prepared.Status = prepareStatus(err)
			return fail(prepareCause(err), err)
		default: // dialled without an id
			out.Prepared = peers.Prepared{Status: prepareStatus(err)}
			out.Err = err
		}
	}
	if !rendered {
		var err error
		if out.URI, err = outbound.RenderURI(t.Dial, vars); err != nil {
			return fail(cause.TemplateFailed, err)
		}
	}
	return out
}

func prepareRequest(p *config.Prepare, vars config.Vars) (peers.PrepareRequest, error) {
	req := peers.PrepareRequest{CallID: vars.CallID, Variables: make([]peers.Variable, 0, len(p.CustomVariables))}
	var values [4]string
	for i, one := range [...]struct {
		key  string
		from *config.Template
	}{{"workspace_id", p.WorkspaceID}, {"model_id", p.ModelID}, {"from_number", p.FromNumber}, {"to_number", p.ToNumber}} {
		var err error
		if values[i], err = one.from.Render(vars); err != nil {
			return req, fmt.Errorf("prepare.%s: %w", one.key, err)
		}
	}
	req.WorkspaceID, req.ModelID, req.FromNumber, req.ToNumber = values[0], values[1], values[2], values[3]
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
