package b2bua

import (
	"context"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
	"flowbridge/store"
)

// Redirection is what an INVITE to a target would be made of, for a call that
// somebody else dials.
type Redirection struct {
	URI     string
	Headers []Variable // that the target's configuration sets, in file order
	Prepared
	AskedAPI bool          // there was a prepare step
	Elapsed  time.Duration // of that
	Cause    Cause         // of an error
}

// Redirect prepares a call at a target as an attempt does, and gives what is to
// be dialled. preparer may be nil where the target has no prepare step. Its
// error is a *PrepareError where the platform, or the way to it, is the reason.
func Redirect(ctx context.Context, cfg *config.Target, preparer Preparer, vars config.Vars) (Redirection, error) {
	t := &target{cfg: cfg, preparer: preparer}
	ready := requestTarget(ctx, 1, t, vars)
	out := Redirection{Prepared: ready.Prepared, AskedAPI: ready.AskedAPI, Elapsed: ready.Elapsed, Cause: ready.Cause}
	if ready.Cause != CauseNone {
		return out, ready.Err
	}
	if ready.AskedAPI && ready.Prepared.CallID != "" {
		vars.Prepare = &config.PrepareVars{CallID: ready.Prepared.CallID, Body: ready.Prepared.Body}
	}
	fields, err := renderHeaders(cfg, vars)
	if err != nil {
		out.Cause = CauseTemplateFailed
		return out, err
	}
	out.URI = ready.URI.String()
	for _, f := range fields {
		out.Headers = append(out.Headers, Variable{Name: f.name, Value: f.values[0]})
	}
	return out, nil
}

// Verdict is what the end of an INVITE means for its call.
type Verdict struct {
	Cause       Cause
	Disposition string // the record's, where the call ends with it
	Q850        int    // the record's; 0: none
	Next        bool   // it is the next target's turn
}

// Judge says what the end of an INVITE that somebody else has sent means for
// the call, as if it were ours: status is the target's final answer, 0 where
// there was none. why is what happened, and empty for a refusal, of which status
// is all that is known.
func Judge(status int, why Cause) Verdict {
	v := Verdict{Cause: why, Disposition: dispositionOf(why, status), Q850: q850Of(status)}
	switch why {
	case CauseCallerHangup, CauseAgentHangup:
		v.Disposition, v.Q850 = store.DispositionAnswered, q850OfCause(why)
	case CauseCallerCancelled:
	case CauseNone:
		v.Cause, v.Next = causeOfStatus(status), nextTarget(status, nil)
	default:
		v.Next = true
	}
	return v
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
