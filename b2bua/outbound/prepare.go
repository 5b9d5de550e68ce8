package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// PrepareError is the reason why a platform gave no id.
type PrepareError struct {
	Cause  cause.Cause
	Status int // HTTP status; 0 if there was no response
	Err    error
}

func (e *PrepareError) Error() string { return fmt.Sprintf("prepare: %v", e.Err) }

func (e *PrepareError) Unwrap() error { return e.Err }

// Requested is the result of preparing an attempt before any SIP: the platform's id and
// the Request-URI.
type Requested struct {
	Prepared peers.Prepared
	URI      sip.Uri
	Cause    cause.Cause // cause.None if preparing has succeeded
	Err      error
	Elapsed  time.Duration // duration of the API call
	AskedAPI bool
}

// Answer returns the platform's answer for the templates of headers, or nil if there is none. An answer may lack an id.
func (out *Requested) Answer() *template.PrepareVars {
	if !out.AskedAPI || (out.Prepared.CallID == "" && len(out.Prepared.Body) == 0) {
		return nil
	}
	return &template.PrepareVars{CallID: out.Prepared.CallID, Body: out.Prepared.Body}
}

// Request asks for the platform's id, and makes the Request-URI.
func Request(ctx context.Context, t *peers.Target, vars template.Vars) (out Requested) {
	rendered := !t.Dial.URI.UsesPrepare()
	if rendered { // without a URI there is no need to ask the platform
		out.URI, out.Err = renderURI(t.Dial, vars)
		if out.Err != nil {
			out.Cause = cause.TemplateFailed
			return out
		}
	}
	if t.Preparer != nil && t.Dial.Prepare != nil {
		ask, err := t.Dial.Prepare.Ask(vars)
		if err != nil {
			out.Cause, out.Err = cause.TemplateFailed, err
			return out
		}
		err = out.ask(ctx, t, peers.PrepareRequest{Ask: ask, CallID: vars.CallID})
		if err == nil {
			vars.Prepare = &template.PrepareVars{CallID: out.Prepared.CallID, Body: out.Prepared.Body}
		} else {
			out.Prepared, out.Err = peers.Prepared{}, err
			if pe, ok := errors.AsType[*PrepareError](err); ok {
				out.Prepared.Status = pe.Status
			}
			if ctx.Err() != nil || t.Dial.Prepare.OnFailure != config.OnFailureDial { // else the target is dialled without an id
				out.Cause = PrepareCause(err)
				return out
			}
		}
	}
	if !rendered {
		var err error
		if out.URI, err = renderURI(t.Dial, vars); err != nil {
			out.Cause, out.Err = cause.TemplateFailed, err
		}
	}
	return out
}

// ErrCircuitOpen means that an API was not asked, because its circuit breaker is open.
var ErrCircuitOpen = errors.New("the API's circuit is open: it has failed for calls before this one, and was not asked")

// ask asks the platform, unless its API's circuit is open.
func (out *Requested) ask(ctx context.Context, t *peers.Target, req peers.PrepareRequest) (err error) {
	begin := time.Now()
	try, closed := t.API.Begin(begin)
	if !closed {
		return &PrepareError{Cause: cause.APICircuitOpen, Err: ErrCircuitOpen}
	}
	says := circuit.Neutral // also after a panic, or if the caller has hung up meanwhile
	defer func() { t.API.End(time.Now(), &try, says) }()
	out.AskedAPI = true
	out.Prepared, err = t.Preparer.Prepare(ctx, req)
	out.Elapsed = time.Since(begin)
	switch pe, ok := errors.AsType[*PrepareError](err); {
	case err == nil:
		says = circuit.Succeeded
	case ok && ctx.Err() == nil:
		says = peers.PrepareOutcome(PrepareCause(err), pe.Status)
	}
	return err
}

// PrepareCause returns the cause of an attempt whose preparation failed.
func PrepareCause(err error) cause.Cause {
	if pe, ok := errors.AsType[*PrepareError](err); ok && pe.Cause != cause.None {
		return pe.Cause
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return cause.PrepareTimeout
	}
	return cause.PrepareFailed
}
