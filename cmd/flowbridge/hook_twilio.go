package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"flowbridge/b2bua"
	"flowbridge/config"
	"flowbridge/hooks"
	"flowbridge/twilio"
)

// twilioOptions are those of the handler of /redirect_call.
func (n *node) twilioOptions(t *config.TwilioHook) twilio.Options {
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
func (n *node) redirect(ctx context.Context, call twilio.Call) (twilio.Destination, error) {
	vars := redirectVars(call)
	var why []error
	for i, name := range n.cfg.Hooks.Twilio.Targets {
		vars.Attempt = i + 1
		dest, err := n.redirectTo(ctx, name, vars)
		if err == nil {
			return dest, nil
		}
		why = append(why, fmt.Errorf("target %s: %w", name, err))
	}
	return twilio.Destination{}, fmt.Errorf("%w: %w", errNoTarget, errors.Join(why...))
}

var errNotThere = errors.New("it is not in the configuration any more")

func (n *node) redirectTo(ctx context.Context, name string, vars config.Vars) (twilio.Destination, error) {
	now := n.inForce.Load()
	t := now.targetNamed(name)
	if t == nil {
		return twilio.Destination{}, errNotThere
	}
	to, err := b2bua.Redirect(ctx, t, now.preparers[name], vars)
	if err != nil {
		return twilio.Destination{}, err
	}
	dest := twilio.Destination{URI: withTransport(to.URI, t.Transport)}
	for _, h := range to.Headers {
		dest.Headers = append(dest.Headers, twilio.Header{Name: h.Name, Value: h.Value})
	}
	if _, err := twilio.SIPURI(dest.URI, dest.Headers, n.cfg.Hooks.Twilio.EncodeSemicolon); err != nil {
		return twilio.Destination{}, err // the next target may have less to say
	}
	n.remember(name, to, vars)
	n.log.Info().Str("call_sid", vars.SIPCallID).Str("call", vars.CallID).Str("target", name).Str("synthflow_call_id", to.CallID).
		Msg("twilio call redirected")
	return dest, nil
}

// remember keeps what an agent may ask of a call that Twilio dials.
func (n *node) remember(target string, to b2bua.Redirection, vars config.Vars) {
	v := n.cfg.Hooks.Variables
	if v == nil {
		return
	}
	c := &redirected{vars: vars, at: time.Now(), ids: []string{vars.CallID, vars.SIPCallID, to.CallID}}
	for _, id := range to.IDs() {
		c.ids = append(c.ids, id.Value)
		if id.External {
			c.call.ExternalID = id.Value
		}
	}
	c.call = hooks.Call{
		ID: vars.CallID, SIPCallID: vars.SIPCallID, SynthflowCallID: to.CallID, ExternalID: c.call.ExternalID, Target: target,
		Direction: vars.Direction, From: vars.From.Number, To: vars.To.Number, Lead: vars.Lead().Number, Diversion: vars.Diversion,
	}
	n.redirects.add(c)
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
