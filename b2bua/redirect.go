package b2bua

import (
	"context"
	"strings"

	"github.com/emiago/sipgo/sip"

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

// IDs are those that the platform is told by X-EI.
func (r Redirection) IDs() []PlatformID {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, "X-EI") {
			return idsIn(h.Value)
		}
	}
	return nil
}

// PartyOf is one side of a call that did not come by SIP: a number, or a SIP
// URI.
func PartyOf(text string) config.Party {
	var uri sip.Uri
	if scheme, _, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(strings.ToLower(scheme), "sip") && sip.ParseUri(text, &uri) == nil {
		return party("", &uri, "")
	}
	if len(text) > maxURI || strings.ContainsFunc(text, isControl) {
		return config.Party{}
	}
	return config.Party{Number: normalise(text, ""), User: text}
}
