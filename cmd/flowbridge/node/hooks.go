package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
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
	"flowbridge/gateway"
	"flowbridge/internal/rest"
	"flowbridge/platform/hooks"
	"flowbridge/platform/openai"
	"flowbridge/platform/twilio"
	"flowbridge/platform/vapi"
	"flowbridge/store"
	"flowbridge/synthflow"
)

// openaiTimeout bounds a webhook of OpenAI, including all requests to the API.
const openaiTimeout = 5 * time.Second

// callHooks answers the platforms' questions and reports about calls.
type callHooks struct {
	log       zerolog.Logger
	inForce   *atomic.Pointer[inForce]
	server    *b2bua.Server
	find      func(ctx context.Context, id string) (registry.LiveCall, error) // the server's FindNamed
	store     *store.Store
	redirects *redirected.Calls // the calls that Twilio dials

	// State that the endpoints keep across a reload.
	tokens []*hooks.Token
	openai *openai.Webhook
}

// newCallHooks returns the hooks for a server's calls, and for the calls that Twilio dials.
func newCallHooks(n *Node) *callHooks {
	h := &callHooks{log: n.log, inForce: &n.inForce, server: n.server, find: n.server.FindNamed, store: n.store}
	h.redirects = n.server.Redirected(h.redirectOptions())
	return h
}

// config returns the configuration in force.
func (h *callHooks) config() *config.Config { return h.inForce.Load().cfg }

// serve opens the configured hooks, with the options o. It returns nil if there are none.
func (h *callHooks) serve(ctx context.Context, o hooks.Options) (*hooks.Server, error) {
	cfg := &h.config().Hooks
	o.Listen, o.Cert, o.Key, o.Log = cfg.Listen, cfg.TLS.Cert, cfg.TLS.Key, h.log
	var err error
	if o.Endpoints, err = h.endpoints(h.config()); err != nil || len(o.Endpoints) == 0 || !o.Listen.IsValid() {
		return nil, err
	}
	return hooks.Start(ctx, o)
}

// endpoints creates the endpoints of a configuration, at the start and at each reload. It must not be called
// concurrently.
func (h *callHooks) endpoints(of *config.Config) (all []hooks.Endpoint, err error) {
	cfg := &of.Hooks
	add := func(name, path string) func(http.Handler, error) {
		return func(handler http.Handler, failed error) {
			below := name == "variables" || name == "bots"
			all = append(all, hooks.Endpoint{Name: name, Path: path, Below: below, Handler: handler})
			if failed != nil {
				err = errors.Join(err, fmt.Errorf("hooks.%s: %w", name, failed))
			}
		}
	}
	if t := cfg.Twilio; t != nil {
		options := h.twilioOptions(t)
		add("twilio", config.TwilioPath)(twilio.NewHandler(options))
		if t.URL != "" { // needed for transfers
			add("twilio", t.ReferPath())(twilio.NewReferHandler(options, h.twilioRefer))
		}
		if t.Follow { // needed for the ends of calls
			add("twilio", t.FollowPath())(twilio.NewEndedHandler(options, h.twilioEnded))
		}
	}
	if v := cfg.Vapi; v != nil {
		a := assistants{h, v.Rules, v.Secret != ""}
		add("vapi", config.VapiPath)(vapi.NewHandler(vapi.HandlerOptions{
			Secret: v.Secret.Reveal(), Decide: a.decide, Other: a.takeReport, Log: h.log,
		}))
	}
	if a := cfg.OpenAI; a != nil {
		webhook, failed := openai.NewWebhook(openai.Options{
			Secret: a.Secret.Reveal(), API: rest.Options{
				BaseURL: a.API, Token: a.Token.Reveal(), TokenIn: a.TokenHeader(),
				Timeout: openaiTimeout, UserAgent: cli.UserAgent(),
			},
			Decide: sessions{h, a}.decide, Timeout: openaiTimeout, Log: h.log, Before: h.openai,
		})
		h.openai = cmp.Or(webhook, h.openai)
		add("openai", config.OpenAIPath)(webhook, failed)
	}
	if s := cfg.Synthflow; s != nil {
		add("synthflow", config.SynthflowPath)(synthflow.NewWebhook(s.Secret.Reveal(), h.takeReport, h.log), nil)
	}
	if v := cfg.Variables; v != nil {
		add("variables", config.VariablesPath)(&hooks.Variables{
			Path: config.VariablesPath, Token: v.Token.Reveal(), Find: h.variablesOf, Log: h.log,
		}, nil)
	}
	if len(cfg.Commands) > 0 {
		h.tokens = tokensOfTools(cfg.Commands, h.tokens)
		add("commands", config.CommandsPath)(&hooks.Commands{Tokens: h.tokens, Do: h.command, Log: h.log}, nil)
	}
	if slices.ContainsFunc(of.Targets, func(t config.Target) bool { return t.Twilio != nil && t.Twilio.AuthToken != "" }) {
		add("bots", gateway.RestPath)(h.botHook(), nil)
	}
	return all, err
}

// variablesOf returns the variables of a live or redirected call for the agent.
func (h *callHooks) variablesOf(ctx context.Context, id string) (hooks.Call, error) {
	live, err := h.find(ctx, id)
	elsewhere, other := h.redirects.Find(id)
	// If a live and a redirected call both have the id, the call whose caller did not write it wins.
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
	if h.config().Hooks.Variables != nil { // otherwise the admin API is asking
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

// redirectedCall returns the variables of a call that Twilio dials.
func redirectedCall(c redirected.Call) hooks.Call {
	return hooks.Call{
		ID: c.ID, SIPCallID: c.SIPCallID, SynthflowCallID: c.SynthflowCallID, ExternalID: c.ExternalID, Target: c.Target,
		Direction: c.Direction, From: c.From, To: c.To, Lead: c.Lead, Diversion: c.Diversion, Variables: c.Variables,
	}
}

// variables returns headers of the carrier's INVITE and the configured values.
func (h *callHooks) variables(id string, vars template.Vars, headers []peers.Variable) map[string]string {
	all := map[string]string{}
	for _, h := range headers {
		all[h.Name] = h.Value
	}
	of := h.config().Hooks.Variables
	if of == nil {
		return all
	}
	for _, value := range of.Values {
		text, err := value.Value.Render(vars)
		if err != nil { // leave out only this one
			h.log.Warn().Err(err).Str("call", id).Str("variable", value.Name).Msg("variable not rendered")
			continue
		}
		all[value.Name] = text
	}
	return all
}
