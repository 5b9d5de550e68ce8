package b2bua

import (
	"context"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/store"
)

// Redirection is what an INVITE to a target would be made of, for a call that
// somebody else dials.
type Redirection struct {
	URI     string
	Headers []peers.Variable // that the target's configuration sets, in file order
	peers.Prepared
	AskedAPI bool          // there was a prepare step
	Elapsed  time.Duration // of that
	Cause    cause.Cause   // of an error
}

// Redirect prepares a call at a target as an attempt does, and gives what is to
// be dialled. preparer may be nil where the target has no prepare step. Its
// error is a *PrepareError where the platform, or the way to it, is the reason.
func Redirect(ctx context.Context, cfg *config.Target, preparer peers.Preparer, vars config.Vars) (Redirection, error) {
	t := &peers.Target{Config: peers.DialOf(cfg), Preparer: preparer}
	ready := requestTarget(ctx, 1, t, vars)
	out := Redirection{Prepared: ready.Prepared, AskedAPI: ready.AskedAPI, Elapsed: ready.Elapsed, Cause: ready.Cause}
	if ready.Cause != cause.None {
		return out, ready.Err
	}
	if ready.AskedAPI && ready.Prepared.CallID != "" {
		vars.Prepare = &config.PrepareVars{CallID: ready.Prepared.CallID, Body: ready.Prepared.Body}
	}
	fields, err := outbound.RenderHeaders(t.Config, vars)
	if err != nil {
		out.Cause = cause.TemplateFailed
		return out, err
	}
	out.URI = ready.URI.String()
	for _, f := range fields {
		out.Headers = append(out.Headers, peers.Variable{Name: f.Name, Value: f.Values[0]})
	}
	return out, nil
}

// Verdict is what the end of an INVITE means for its call.
type Verdict struct {
	Cause       cause.Cause
	Disposition string // the record's, where the call ends with it
	Q850        int    // the record's; 0: none
	Next        bool   // it is the next target's turn
}

// Judge says what the end of an INVITE that somebody else has sent means for
// the call, as if it were ours: status is the target's final answer, 0 where
// there was none. why is what happened, and empty for a refusal, of which status
// is all that is known.
func Judge(status int, why cause.Cause) Verdict {
	v := Verdict{Cause: why, Disposition: dispositionOf(why, status), Q850: cause.Q850Of(status)}
	switch why {
	case cause.CallerHangup, cause.AgentHangup:
		v.Disposition, v.Q850 = store.DispositionAnswered, cause.Q850OfCause(why)
	case cause.CallerCancelled:
	case cause.None:
		v.Cause, v.Next = cause.OfStatus(status), cause.NextTarget(status, nil)
	default:
		v.Next = true
	}
	return v
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
