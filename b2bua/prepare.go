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
func requestTarget(ctx context.Context, number int, t *peers.Target, vars config.Vars) (out Ready) {
	out.Attempt = number
	rendered := !t.Dial.URI.UsesPrepare()
	if rendered { // if this fails, there is no need to ask the platform
		if out.URI, out.Err = outbound.RenderURI(t.Dial, vars); out.Err != nil {
			out.Cause = cause.TemplateFailed
			return out
		}
	}
	if t.Preparer != nil && t.Dial.Prepare != nil {
		req, err := prepareRequest(t.Dial.Prepare, vars)
		if err != nil {
			out.Cause, out.Err = cause.TemplateFailed, err
			return out
		}
		begin := time.Now()
		out.AskedAPI = true
		out.Prepared, err = t.Preparer.Prepare(ctx, req)
		out.Elapsed = time.Since(begin)
		if err == nil {
			vars.Prepare = &config.PrepareVars{CallID: out.Prepared.CallID, Body: out.Prepared.Body}
		} else {
			out.Prepared, out.Err = peers.Prepared{}, err
			if pe, ok := errors.AsType[*PrepareError](err); ok {
				out.Prepared.Status = pe.Status
			}
			if ctx.Err() != nil || t.Dial.Prepare.OnFailure != config.OnFailureDial { // else it is dialled without an id
				out.Cause = prepareCause(err)
				return out
			}
		}
	}
	if !rendered {
		var err error
		if out.URI, err = outbound.RenderURI(t.Dial, vars); err != nil {
			out.Cause, out.Err = cause.TemplateFailed, err
		}
	}
	return out
}

func prepareRequest(p *config.Prepare, vars config.Vars) (req peers.PrepareRequest, err error) {
	render := func(of, key string, from *config.Template) string {
		value, failed := from.Render(vars)
		if failed != nil && err == nil {
			err = fmt.Errorf("prepare.%s%s: %w", of, key, failed)
		}
		return value
	}
	req = peers.PrepareRequest{
		CallID: vars.CallID, WorkspaceID: render("", "workspace_id", p.WorkspaceID), ModelID: render("", "model_id", p.ModelID),
		FromNumber: render("", "from_number", p.FromNumber), ToNumber: render("", "to_number", p.ToNumber),
		Variables: make([]peers.Variable, 0, len(p.CustomVariables)),
	}
	for _, v := range p.CustomVariables {
		req.Variables = append(req.Variables, peers.Variable{Name: v.Name, Value: render("custom_variables.", v.Name, v.Value)})
	}
	return req, err
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
