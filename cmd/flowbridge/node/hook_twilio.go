package node

import (
	"context"
	"slices"
	"strings"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/redirected"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/config/twiml"
	"flowbridge/platform/twilio"
	"flowbridge/store/record"
)

// twilioOptions returns the options for the handler of /redirect_call.
func (h *callHooks) twilioOptions(t *config.TwilioHook) twilio.Options {
	return twilio.Options{
		AuthToken: t.AuthToken.Reveal(), URL: t.URL, Route: h.redirect, Log: h.log,
		Fallback: t.Fallback,
		Dial:     twilio.DialOptions{AnswerOnBridge: t.AnswerOnBridge},
	}
}

// redirectOptions returns the options for the calls that Twilio dials.
func (h *callHooks) redirectOptions() redirected.Options {
	cfg := &h.config().Hooks
	o := redirected.Options{Route: "hooks.twilio"}
	if t := cfg.Twilio; t != nil {
		o.Targets, o.Rules, o.Follow = t.Targets, t.Rules, t.Follow
		o.Accept = func(to redirected.Destination) error {
			dest := destinationOf(to)
			_, err := twilio.SIPURI(dest.URI, dest.Headers)
			return err
		}
	}
	if cfg.Variables != nil {
		o.Variables = func(vars template.Vars) map[string]string { return h.variables(vars.CallID, vars, nil) }
	}
	return o
}

// redirect returns the destination for a call that Twilio dials: the first target that can be dialled, prepared as for
// a call of a trunk.
func (h *callHooks) redirect(ctx context.Context, call twilio.Call) (twilio.Destination, error) {
	to, err := h.redirects.Begin(ctx, redirectVars(call), call.Status)
	if err != nil {
		return twilio.Destination{}, err
	}
	return h.twilioDestination(to), nil
}

// twilioEnded returns Twilio's next step after an attempt.
func (h *callHooks) twilioEnded(ctx context.Context, e twilio.Ended) (twilio.Next, error) {
	next, err := h.redirects.Ended(ctx, redirected.End{
		Call: e.Call, Attempt: e.Attempt, SIPCallID: e.SID, Outcome: outcomeOf(e), SIPStatus: e.SIPStatus,
		TargetSIPCallID: e.SIPCallID,
		Answered:        e.Answered(), CallerGone: e.CallerGone(), Duration: e.Duration,
	})
	out := twilio.Next{Fallback: next.Fallback}
	if next.Dial != nil {
		dest := h.twilioDestination(*next.Dial)
		out.Dial = &dest
	}
	return out, err
}

// twilioDestination returns the destination in Twilio's form. If calls are followed, it includes the URL to which
// Twilio reports the end.
func (h *callHooks) twilioDestination(to redirected.Destination) twilio.Destination {
	dest := destinationOf(to)
	t := h.config().Hooks.Twilio
	if t.Follow {
		dest.Action = twilio.ActionURL(t.FollowURL(), to.Call, to.Attempt)
	}
	if t.URL != "" && h.redirects.Transfers(to.Target) {
		dest.Refer = twilio.ReferURL(t.ReferURL(), to.Call, to.Attempt, to.Target)
	}
	return dest
}

// twilioRefer returns the destination of a target's REFER. From then on, a followed call ends with the call to that
// destination.
func (h *callHooks) twilioRefer(e twilio.Ended, target, referTo string) (twilio.Destination, error) {
	to, number, err := h.redirects.Refer(target, referTo)
	dest := destinationOf(to)
	dest.Headers = slices.DeleteFunc(dest.Headers, func(h twilio.Header) bool { return twiml.CheckHeader(h.Name) != nil })
	dest.Number = number
	if h.config().Hooks.Twilio.Follow {
		dest.Action = twilio.ActionURL(h.config().Hooks.Twilio.FollowURL(), e.Call, e.Attempt)
	}
	return dest, err
}

func destinationOf(to redirected.Destination) twilio.Destination {
	dest := twilio.Destination{URI: to.URI}
	for _, h := range to.Headers {
		dest.Headers = append(dest.Headers, twilio.Header{Name: h.Name, Value: h.Value})
	}
	return dest
}

// The final answers (RFC 3261 section 21) that stand for Twilio's outcomes.
const (
	statusAnswered  = 200
	statusBusy      = 486
	statusCancelled = 487
)

// outcomeOf interprets the end of an attempt. If the target answered, its answer decides. 487 is a target's answer to
// Twilio's CANCEL.
func outcomeOf(e twilio.Ended) outbound.Outcome {
	switch {
	case e.Answered() && e.CallerGone():
		return outbound.OutcomeOf(statusAnswered, cause.CallerHangup)
	case e.Answered():
		return outbound.OutcomeOf(statusAnswered, cause.AgentHangup)
	case e.SIPStatus >= 300 && e.SIPStatus != statusCancelled:
		return outbound.OutcomeOf(e.SIPStatus, cause.None)
	case e.Status == "busy":
		return outbound.OutcomeOf(statusBusy, cause.None)
	case e.CallerGone():
		return outbound.OutcomeOf(statusCancelled, cause.CallerCancelled)
	case e.Status == "no-answer":
		return outbound.OutcomeOf(e.SIPStatus, cause.RingTimeout)
	default: // failed: Twilio could not reach the target
		return outbound.OutcomeOf(0, cause.TargetUnreachable)
	}
}

// redirectVars returns the template variables of a call at Twilio. The CallSid takes the place of the Call-ID and of
// the header in which Twilio's own INVITEs carry it, so that one target serves both calls by SIP and redirects.
func redirectVars(call twilio.Call) template.Vars {
	return template.Vars{
		To: redirected.PartyOf(call.Called), From: withName(redirected.PartyOf(call.Caller), call.CallerName),
		CallID: record.NewID(), SIPCallID: call.SID, Direction: template.DirectionInbound,
		Diversion: redirected.PartyOf(call.ForwardedFrom).Number,
		HeaderFunc: func(name string) string {
			switch {
			case strings.EqualFold(name, "X-Twilio-CallSid"):
				return call.SID
			case strings.EqualFold(name, "X-Twilio-AccountSid"):
				return call.AccountSID
			}
			return call.Header(name)
		},
	}
}

func withName(p template.Party, name string) template.Party {
	if !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) && len(name) <= 128 {
		p.Name = name
	}
	return p
}
