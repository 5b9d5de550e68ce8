package b2bua

import (
	"context"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// Redirection is what an INVITE to a target would be made of, for a call that
// somebody else dials.
type Redirection struct {
	Call    string // our id
	Attempt int    // from 1
	Target  string

	URI     string           // with its transport, where that is not UDP
	Headers []peers.Variable // that the target's configuration sets, in file order
	peers.Prepared
	Cause cause.Cause // of an error
}

// redirectTo prepares an attempt as for a call of ours, and gives what is to be
// dialled. Its error is a *PrepareError where the platform, or the way to it, is
// the reason.
func redirectTo(ctx context.Context, a *attempt, vars config.Vars) (Redirection, error) {
	t := a.target.Dial
	ready := requestTarget(ctx, a.number, a.target, vars)
	a.prepareMS, a.prepareStatus = ready.Elapsed.Milliseconds(), ready.Prepared.Status
	out := Redirection{Call: vars.CallID, Attempt: a.number, Target: t.Name, Prepared: ready.Prepared, Cause: ready.Cause}
	if ready.Cause != cause.None {
		return out, ready.Err
	}
	if ready.AskedAPI && ready.Prepared.CallID != "" {
		vars.Prepare = &config.PrepareVars{CallID: ready.Prepared.CallID, Body: ready.Prepared.Body}
	}
	fields, err := outbound.RenderHeaders(t, vars)
	if err != nil {
		out.Cause = cause.TemplateFailed
		return out, err
	}
	out.URI = ready.URI.String()
	if message.IsStream(t.Transport) && !strings.Contains(out.URI, ";transport=") {
		out.URI += ";transport=" + t.Transport // who dials would take it for UDP otherwise
	}
	for _, f := range fields {
		out.Headers = append(out.Headers, peers.Variable{Name: f.Name, Value: f.Values[0]})
	}
	return out, nil
}

// IDs are those that the platform is told by X-EI.
func (r Redirection) IDs() []outbound.PlatformID {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, "X-EI") {
			return outbound.IDsIn(h.Value)
		}
	}
	return nil
}

// externalID is the id that the platform is told beside its own; empty: none.
func (r Redirection) externalID() (id string) {
	for _, i := range r.IDs() {
		if i.External {
			id = i.Value
		}
	}
	return id
}

// PartyOf is one side of a call that did not come by SIP: a number, or a SIP
// URI.
func PartyOf(text string) config.Party {
	var uri sip.Uri
	if scheme, _, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(strings.ToLower(scheme), "sip") && sip.ParseUri(text, &uri) == nil {
		return message.PartyOf("", &uri, "")
	}
	if len(text) > message.MaxURI || strings.ContainsFunc(text, message.IsControl) {
		return config.Party{}
	}
	return config.Party{Number: message.NormaliseNumber(text, ""), User: text}
}
