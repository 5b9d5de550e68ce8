package node

import (
	"context"

	"flowbridge/hooks"
	"flowbridge/synthflow"
	"flowbridge/twilio"
	"flowbridge/vapi"
)

// serveHooks opens the hooks that the configuration has; nil: it has none.
func (n *Node) serveHooks(ctx context.Context) (*hooks.Server, error) {
	h := &n.config().Hooks
	o := hooks.Options{Cert: h.TLS.Cert, Key: h.TLS.Key, Log: n.log}
	add := func(e hooks.Endpoint) { o.Endpoints = append(o.Endpoints, e) }
	if t := h.Twilio; t != nil {
		handler, err := twilio.NewHandler(n.twilioOptions(t))
		if err != nil {
			return nil, err
		}
		add(hooks.Endpoint{Name: "twilio", Listen: t.Listen, Path: t.Path, Handler: handler})
		if n.followed != nil {
			if handler, err = twilio.NewEndedHandler(n.twilioOptions(t), n.twilioEnded); err != nil {
				return nil, err
			}
			add(hooks.Endpoint{Name: "twilio", Listen: t.Listen, Path: t.FollowPath(), Handler: handler})
		}
	}
	if v := h.Vapi; v != nil {
		handler, err := vapi.NewHandler(vapi.HandlerOptions{
			Secret: v.Secret.Reveal(), Decide: assistants{n, v.Rules}.decide, Other: n.takeVapi, Timeout: v.Timeout, Log: n.log,
		})
		if err != nil {
			return nil, err
		}
		add(hooks.Endpoint{Name: "vapi", Listen: v.Listen, Path: v.Path, Handler: handler})
	}
	if s := h.Synthflow; s != nil {
		add(hooks.Endpoint{
			Name: "synthflow", Listen: s.Listen, Path: s.Path,
			Handler: synthflow.NewWebhook(s.Secret.Reveal(), n.takeReport, n.log),
		})
	}
	if v := h.Variables; v != nil {
		add(hooks.Endpoint{
			Name: "variables", Listen: v.Listen, Path: v.Path, Below: true,
			Handler: &hooks.Variables{Path: v.Path, Token: v.Token.Reveal(), Find: n.variablesOf, Log: n.log},
		})
	}
	if len(o.Endpoints) == 0 {
		return nil, nil
	}
	return hooks.Start(ctx, o)
}
