package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registry"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/rest"
	"flowbridge/platform/hooks"
	"flowbridge/platform/openai"
	"flowbridge/platform/twilio"
	"flowbridge/platform/vapi"
	"flowbridge/store"
	"flowbridge/synthflow"
)

// openaiTimeout is how long a webhook of OpenAI may take, with all requests to the API.
const openaiTimeout = 5 * time.Second

// callHooks answers what platforms ask and tell of calls by their hooks.
type callHooks struct {
	log       zerolog.Logger
	inForce   *atomic.Pointer[inForce]
	server    *b2bua.Server
	find      func(ctx context.Context, id string) (registry.LiveCall, error) // the server's FindNamed
	store     *store.Store
	redirects *redirected.Calls // that Twilio dials
}

// newCallHooks makes the hooks of a server's calls, and the calls that Twilio dials by them.
func newCallHooks(n *Node) *callHooks {
	h := &callHooks{log: n.log, inForce: &n.inForce, server: n.server, find: n.server.FindNamed, store: n.store}
	h.redirects = n.server.Redirected(h.redirectOptions())
	return h
}

// config is the configuration in force.
func (h *callHooks) config() *config.Config { return h.inForce.Load().cfg }

// serve opens the configured hooks, with what o says beside. It gives nil if there are none.
func (h *callHooks) serve(ctx context.Context, o hooks.Options) (*hooks.Server, error) {
	cfg := &h.config().Hooks
	o.Listen, o.Cert, o.Key, o.Log = cfg.Listen, cfg.TLS.Cert, cfg.TLS.Key, h.log
	for _, endpoints := range []func(*config.Hooks) ([]hooks.Endpoint, error){
		h.twilioEndpoints, h.vapiEndpoints, h.openaiEndpoints,
	} {
		all, err := endpoints(cfg)
		if err != nil {
			return nil, err
		}
		o.Endpoints = append(o.Endpoints, all...)
	}
	o.Endpoints = append(o.Endpoints, h.otherEndpoints(cfg)...)
	o.Endpoints = append(o.Endpoints, h.commandsEndpoints(cfg)...)
	if len(o.Endpoints) == 0 || !o.Listen.IsValid() {
		return nil, nil
	}
	return hooks.Start(ctx, o)
}

// twilioEndpoints are the hooks of Twilio: for a call, for its transfers where we have a URL, and for its end where we
// follow it.
func (h *callHooks) twilioEndpoints(cfg *config.Hooks) ([]hooks.Endpoint, error) {
	t := cfg.Twilio
	if t == nil {
		return nil, nil
	}
	options := h.twilioOptions(t)
	handler, err := twilio.NewHandler(options)
	if err != nil {
		return nil, err
	}
	all := []hooks.Endpoint{{Name: "twilio", Path: config.TwilioPath, Handler: handler}}
	if t.URL != "" {
		if handler, err = twilio.NewReferHandler(options, h.twilioRefer); err != nil {
			return nil, err
		}
		all = append(all, hooks.Endpoint{Name: "twilio", Path: t.ReferPath(), Handler: handler})
	}
	if t.Follow {
		if handler, err = twilio.NewEndedHandler(options, h.twilioEnded); err != nil {
			return nil, err
		}
		all = append(all, hooks.Endpoint{Name: "twilio", Path: t.FollowPath(), Handler: handler})
	}
	return all, nil
}

// vapiEndpoints is the server URL of Vapi's assistants.
func (h *callHooks) vapiEndpoints(cfg *config.Hooks) ([]hooks.Endpoint, error) {
	v := cfg.Vapi
	if v == nil {
		return nil, nil
	}
	handler, err := vapi.NewHandler(vapi.HandlerOptions{
		Secret: v.Secret.Reveal(), Decide: assistants{h, v.Rules}.decide, Other: h.takeVapi, Log: h.log,
	})
	if err != nil {
		return nil, err
	}
	return []hooks.Endpoint{{Name: "vapi", Path: config.VapiPath, Handler: handler}}, nil
}

// openaiEndpoints is the webhook of OpenAI, which asks whether a call is accepted.
func (h *callHooks) openaiEndpoints(cfg *config.Hooks) ([]hooks.Endpoint, error) {
	a := cfg.OpenAI
	if a == nil {
		return nil, nil
	}
	handler, err := openai.NewWebhook(openai.Options{
		Secret: a.Secret.Reveal(), API: rest.Options{
			BaseURL: a.API, Token: a.Token.Reveal(), TokenIn: a.TokenHeader(),
			Timeout: openaiTimeout, UserAgent: cli.UserAgent(),
		},
		Decide: sessions{h, a}.decide, Timeout: openaiTimeout, Log: h.log,
	})
	if err != nil {
		return nil, fmt.Errorf("hooks.openai: %w", err)
	}
	return []hooks.Endpoint{{Name: "openai", Path: config.OpenAIPath, Handler: handler}}, nil
}

// otherEndpoints are the hooks whose handlers can always be made: Synthflow's reports, and the variables of a call.
func (h *callHooks) otherEndpoints(cfg *config.Hooks) (all []hooks.Endpoint) {
	if s := cfg.Synthflow; s != nil {
		all = append(all, hooks.Endpoint{
			Name: "synthflow", Path: config.SynthflowPath,
			Handler: synthflow.NewWebhook(s.Secret.Reveal(), h.takeReport, h.log),
		})
	}
	if v := cfg.Variables; v != nil {
		all = append(all, hooks.Endpoint{
			Name: "variables", Path: config.VariablesPath, Below: true,
			Handler: &hooks.Variables{Path: config.VariablesPath, Token: v.Token.Reveal(), Find: h.variablesOf, Log: h.log},
		})
	}
	return all
}

// variablesOf is a live or redirected call as the hook for variables gives it to the agent.
func (h *callHooks) variablesOf(ctx context.Context, id string) (hooks.Call, error) {
	live, err := h.find(ctx, id)
	elsewhere, other := h.redirects.Find(id)
	// Of a live call and a redirected one, that counts whose caller has not written the id.
	here, there := err == nil && live.Given(id), other == nil && elsewhere.Given(id)
	switch {
	case other == nil && (there && !here || errors.Is(err, redirected.ErrUnknownCall)):
		return redirectedCall(elsewhere), nil
	case errors.Is(err, redirected.ErrUnknownCall) && errors.Is(other, redirected.ErrUnknownCall):
		return hooks.Call{}, hooks.ErrUnknown
	case errors.Is(err, redirected.ErrSeveralCalls), !errors.Is(other, redirected.ErrUnknownCall) && here == there:
		return hooks.Call{}, hooks.ErrSeveral
	case err != nil:
		return hooks.Call{}, err
	}
	r := live.Record
	var headers []peers.Variable
	if h.config().Hooks.Variables != nil { // else the admin API asks
		headers = live.Headers()
	}
	variables := h.variables(r.ID, live.Vars, headers)
	maps.Copy(variables, r.Variables)
	return hooks.Call{
		ID: r.ID, SIPCallID: r.SIPCallID, TargetSIPCallID: r.TargetSIPCallID, SynthflowCallID: r.SynthflowCallID,
		ExternalID: r.ExternalID, Trunk: r.Trunk, Route: r.Route, Target: r.Target, Direction: r.Direction, From: r.From,
		To: r.To, Lead: r.Lead, Diversion: live.Vars.Diversion,
		Variables: variables,
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
func (h *callHooks) variables(id string, vars template.Vars, headers []peers.Variable) map[string]string {
	all := map[string]string{}
	for _, h := range headers {
		all[h.Name] = h.Value
	}
	if h.config().Hooks.Variables == nil {
		return all
	}
	for _, value := range h.config().Hooks.Variables.Values {
		text, err := value.Value.Render(vars)
		if err != nil { // the others are good all the same
			h.log.Warn().Err(err).Str("call", id).Str("variable", value.Name).Msg("variable not given")
			continue
		}
		all[value.Name] = text
	}
	return all
}
