package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/redirected"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/rest"
	"flowbridge/platform/hooks"
	"flowbridge/platform/openai"
	"flowbridge/platform/twilio"
	"flowbridge/platform/vapi"
	"flowbridge/synthflow"
)

// openaiTimeout is how long a webhook of OpenAI may take, with all requests to the API.
const openaiTimeout = 5 * time.Second

// serveHooks opens the configured hooks. It gives nil if there are none.
func (n *Node) serveHooks(ctx context.Context) (*hooks.Server, error) {
	h := &n.config().Hooks
	o := hooks.Options{Cert: h.TLS.Cert, Key: h.TLS.Key, Log: n.log, Pause: &n.pause, Listener: n.before.hookListener}
	add := func(e hooks.Endpoint) { o.Endpoints = append(o.Endpoints, e) }
	if t := h.Twilio; t != nil {
		handler, err := twilio.NewHandler(n.twilioOptions(t))
		if err != nil {
			return nil, err
		}
		add(hooks.Endpoint{Name: "twilio", Listen: t.Listen, Path: config.TwilioPath, Handler: handler})
		if t.URL != "" {
			if handler, err = twilio.NewReferHandler(n.twilioOptions(t), n.twilioRefer); err != nil {
				return nil, err
			}
			add(hooks.Endpoint{Name: "twilio", Listen: t.Listen, Path: t.ReferPath(), Handler: handler})
		}
		if t.Follow {
			if handler, err = twilio.NewEndedHandler(n.twilioOptions(t), n.twilioEnded); err != nil {
				return nil, err
			}
			add(hooks.Endpoint{Name: "twilio", Listen: t.Listen, Path: t.FollowPath(), Handler: handler})
		}
	}
	if v := h.Vapi; v != nil {
		handler, err := vapi.NewHandler(vapi.HandlerOptions{
			Secret: v.Secret.Reveal(), Decide: assistants{n, v.Rules}.decide, Other: n.takeVapi, Log: n.log,
		})
		if err != nil {
			return nil, err
		}
		add(hooks.Endpoint{Name: "vapi", Listen: v.Listen, Path: config.VapiPath, Handler: handler})
	}
	if a := h.OpenAI; a != nil {
		handler, err := openai.NewWebhook(openai.Options{
			Secret: a.Secret.Reveal(), API: rest.Options{BaseURL: a.API, Token: a.Token.Reveal(), TokenIn: a.TokenHeader, Timeout: openaiTimeout, UserAgent: cli.UserAgent()},
			Decide: sessions{n, a}.decide, Timeout: openaiTimeout, Log: n.log,
		})
		if err != nil {
			return nil, fmt.Errorf("hooks.openai: %w", err)
		}
		add(hooks.Endpoint{Name: "openai", Listen: a.Listen, Path: config.OpenAIPath, Handler: handler})
	}
	if s := h.Synthflow; s != nil {
		add(hooks.Endpoint{
			Name: "synthflow", Listen: s.Listen, Path: config.SynthflowPath,
			Handler: synthflow.NewWebhook(s.Secret.Reveal(), n.takeReport, n.log),
		})
	}
	if v := h.Variables; v != nil {
		add(hooks.Endpoint{
			Name: "variables", Listen: v.Listen, Path: config.VariablesPath, Below: true,
			Handler: &hooks.Variables{Path: config.VariablesPath, Token: v.Token.Reveal(), Find: n.variablesOf, Log: n.log},
		})
	}
	if len(o.Endpoints) == 0 {
		return nil, nil
	}
	return hooks.Start(ctx, o)
}

// variablesOf is a live or redirected call as the hook for variables gives it to the agent.
func (n *Node) variablesOf(ctx context.Context, id string) (hooks.Call, error) {
	live, err := n.server.FindNamed(ctx, id)
	elsewhere, other := n.redirects.Find(id)
	switch {
	case errors.Is(err, redirected.ErrUnknownCall) && other == nil:
		return redirectedCall(elsewhere), nil
	case errors.Is(err, redirected.ErrUnknownCall) && errors.Is(other, redirected.ErrUnknownCall):
		return hooks.Call{}, hooks.ErrUnknown
	case errors.Is(err, redirected.ErrSeveralCalls), errors.Is(other, redirected.ErrSeveralCalls), err == nil && other == nil: // both a live one's and a redirected one's
		return hooks.Call{}, hooks.ErrSeveral
	case err != nil:
		return hooks.Call{}, err
	}
	r := live.Record
	return hooks.Call{
		ID: r.ID, SIPCallID: r.SIPCallID, TargetSIPCallID: r.TargetSIPCallID, SynthflowCallID: r.SynthflowCallID,
		ExternalID: r.ExternalID, Trunk: r.Trunk, Route: r.Route, Target: r.Target, Direction: r.Direction, From: r.From,
		To: r.To, Lead: r.Lead, Diversion: live.Vars.Diversion,
		Variables: n.variables(r.ID, live.Vars, live.Headers(n.config().Hooks.Variables.Headers)),
	}, nil
}

// redirectedCall is a call that Twilio dials as the hook for variables gives it.
func redirectedCall(c redirected.Call) hooks.Call {
	return hooks.Call{
		ID: c.ID, SIPCallID: c.SIPCallID, SynthflowCallID: c.SynthflowCallID, ExternalID: c.ExternalID, Target: c.Target,
		Direction: c.Direction, From: c.From, To: c.To, Lead: c.Lead, Diversion: c.Diversion, Variables: c.Variables,
	}
}

// variables are headers of the carrier's INVITE and the configured values.
func (n *Node) variables(id string, vars template.Vars, headers []peers.Variable) map[string]string {
	all := map[string]string{}
	for _, h := range headers {
		all[h.Name] = h.Value
	}
	for _, value := range n.config().Hooks.Variables.Values {
		text, err := value.Value.Render(vars)
		if err != nil { // the others are good all the same
			n.log.Warn().Err(err).Str("call", id).Str("variable", value.Name).Msg("variable not given")
			continue
		}
		all[value.Name] = text
	}
	return all
}
