package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/hooks"
	"flowbridge/store"
	"flowbridge/twilio"
)

// twilioOptions are those of the handler of /redirect_call.
func (n *Node) twilioOptions(t *config.TwilioHook) twilio.Options {
	return twilio.Options{
		AuthToken: t.AuthToken.Reveal(), URL: t.URL, Route: n.redirect, EncodeSemicolon: t.EncodeSemicolon, Log: n.log,
		Fallback: t.Fallback,
		Dial:     twilio.DialOptions{AnswerOnBridge: t.AnswerOnBridge},
	}
}

// errNoTarget means that no target of hooks.twilio can be dialled.
var errNoTarget = errors.New("no target can be dialled")

// redirect says where Twilio dials a call: the first target that can be, as a
// call of a trunk would go there.
func (n *Node) redirect(ctx context.Context, call twilio.Call) (twilio.Destination, error) {
	vars := redirectVars(call)
	if n.followed != nil {
		return n.follow(ctx, vars)
	}
	c, err := n.choose(ctx, vars, 0, 0)
	return c.dest, err
}

// choice is a target that can be dialled, and those that were tried in vain.
type choice struct {
	dest    twilio.Destination
	to      b2bua.Redirection
	place   int // in hooks.twilio.targets; without a target the last place
	number  int // of the attempt
	attempt store.Attempt
	failed  []store.Attempt // before it
}

// choose finds the first target, from a place in hooks.twilio.targets on, that
// can be dialled. before is how many attempts there were already.
func (n *Node) choose(ctx context.Context, vars config.Vars, place, before int) (choice, error) {
	c := choice{place: place}
	var why []error
	targets := n.config().Hooks.Twilio.Targets
	for i := place; i < len(targets); i++ {
		vars.Attempt = before + i - place + 1
		a := store.Attempt{Target: targets[i], StartedAt: store.TimeOf(time.Now())}
		dest, to, err := n.redirectTo(ctx, targets[i], vars)
		a.PrepareMS, a.PrepareStatus = to.Elapsed.Milliseconds(), to.Status
		c.place = i
		if err == nil {
			c.dest, c.to, c.number, c.attempt = dest, to, vars.Attempt, a
			return c, nil
		}
		a.Cause, a.MS = string(to.Cause), time.Since(a.StartedAt.Time).Milliseconds()
		c.failed = append(c.failed, a)
		why = append(why, fmt.Errorf("target %s: %w", targets[i], err))
	}
	return c, fmt.Errorf("%w: %w", errNoTarget, errors.Join(why...))
}

var errNotThere = errors.New("it is not in the configuration any more")

// redirectTo prepares a call at a target. With an error, the redirection has its
// cause.
func (n *Node) redirectTo(ctx context.Context, name string, vars config.Vars) (twilio.Destination, b2bua.Redirection, error) {
	now := n.inForce.Load()
	t := now.targetNamed(name)
	switch {
	case n.server.Draining():
		return twilio.Destination{}, b2bua.Redirection{Cause: cause.Shutdown}, errDraining
	case t == nil:
		return twilio.Destination{}, b2bua.Redirection{Cause: cause.TargetUnreachable}, errNotThere
	}
	to, err := b2bua.Redirect(ctx, t, now.preparers[name], vars)
	if err != nil {
		return twilio.Destination{}, to, err
	}
	dest := twilio.Destination{URI: withTransport(to.URI, t.Transport)}
	for _, h := range to.Headers {
		dest.Headers = append(dest.Headers, twilio.Header{Name: h.Name, Value: h.Value})
	}
	if _, err := twilio.SIPURI(dest.URI, dest.Headers, n.config().Hooks.Twilio.EncodeSemicolon); err != nil {
		to.Cause = cause.TemplateFailed
		return twilio.Destination{}, to, err // the next target may have less to say
	}
	n.remember(name, to, vars)
	n.log.Info().Str("call_sid", vars.SIPCallID).Str("call", vars.CallID).Str("target", name).Str("synthflow_call_id", to.CallID).
		Msg("twilio call redirected")
	return dest, to, nil
}

// remember keeps what an agent may ask, or a platform report, of a call that
// Twilio dials.
func (n *Node) remember(target string, to b2bua.Redirection, vars config.Vars) {
	if n.config().Hooks.Variables == nil && n.followed == nil {
		return
	}
	c := &redirected{at: time.Now(), ids: []string{vars.CallID, vars.SIPCallID, to.CallID}, followed: n.followed != nil}
	for _, id := range to.IDs() {
		c.ids = append(c.ids, id.Value)
	}
	c.call = hooks.Call{
		ID: vars.CallID, SIPCallID: vars.SIPCallID, SynthflowCallID: to.CallID, ExternalID: externalID(to), Target: target,
		Direction: vars.Direction, From: vars.From.Number, To: vars.To.Number, Lead: vars.Lead().Number, Diversion: vars.Diversion,
	}
	if v := n.config().Hooks.Variables; v != nil {
		c.call = n.withVariables(c.call, vars, nil)
		for _, t := range v.IDs {
			if id, err := t.Render(vars); err == nil {
				c.ids = append(c.ids, strings.TrimSpace(id))
			}
		}
	}
	n.redirects.add(c)
}

// externalID is the id that the platform is told beside its own; empty: none.
func externalID(to b2bua.Redirection) (id string) {
	for _, i := range to.IDs() {
		if i.External {
			id = i.Value
		}
	}
	return id
}

// withTransport names the transport in a SIP URI, which Twilio would take for
// UDP otherwise.
func withTransport(uri, transport string) string {
	if transport == config.TransportUDP || strings.Contains(uri, ";transport=") {
		return uri
	}
	return uri + ";transport=" + transport
}

// redirectVars is what templates see of a call that is at Twilio. Its CallSid
// stands for the Call-ID, and for the header that Twilio's own INVITEs have it
// in, so that one target serves calls by SIP and redirects.
func redirectVars(call twilio.Call) config.Vars {
	return config.Vars{
		To: b2bua.PartyOf(call.Called), From: withName(b2bua.PartyOf(call.Caller), call.CallerName),
		CallID: newRedirectID(), SIPCallID: call.SID, Direction: config.DirectionInbound,
		Diversion: b2bua.PartyOf(call.ForwardedFrom).Number,
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

func withName(p config.Party, name string) config.Party {
	if !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) && len(name) <= 128 {
		p.Name = name
	}
	return p
}

// newRedirectID is our id of a call that we don't carry.
func newRedirectID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}
