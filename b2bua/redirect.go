package b2bua

import (
	"context"

	"flowbridge/config"
)

// Redirection is what an INVITE to a target would be made of, for a call that
// somebody else dials.
type Redirection struct {
	URI     string
	Headers []Variable // that the target's configuration sets, in file order
	Prepared
}

// Redirect prepares a call at a target as an attempt does, and gives what is to
// be dialled. preparer may be nil where the target has no prepare step. Its
// error is a *PrepareError where the platform, or the way to it, is the reason.
func Redirect(ctx context.Context, cfg *config.Target, preparer Preparer, vars config.Vars) (Redirection, error) {
	t := &target{cfg: cfg, preparer: preparer}
	ready := requestTarget(ctx, 1, t, vars)
	if ready.Cause != CauseNone {
		return Redirection{Prepared: ready.Prepared}, ready.Err
	}
	if ready.AskedAPI && ready.Prepared.CallID != "" {
		vars.Prepare = &config.PrepareVars{CallID: ready.Prepared.CallID, Body: ready.Prepared.Body}
	}
	fields, err := renderHeaders(cfg, vars)
	if err != nil {
		return Redirection{Prepared: ready.Prepared}, err
	}
	out := Redirection{URI: ready.URI.String(), Prepared: ready.Prepared}
	for _, f := range fields {
		out.Headers = append(out.Headers, Variable{Name: f.name, Value: f.values[0]})
	}
	return out, nil
}
