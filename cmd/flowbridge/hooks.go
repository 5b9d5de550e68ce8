package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"flowbridge/b2bua"
	"flowbridge/config"
	"flowbridge/hooks"
	"flowbridge/store"
	"flowbridge/synthflow"
	"flowbridge/twilio"
	"flowbridge/vapi"
)

// serveHooks opens the hooks that the configuration has; nil: it has none.
func (n *node) serveHooks(ctx context.Context) (*hooks.Server, error) {
	h := &n.cfg.Hooks
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

// hookAt is where a hook is asked, for tests; the zero address where it is off.
func (n *node) hookAt(listen netip.AddrPort) string {
	if n.asked == nil {
		return ""
	}
	return n.asked.Addr(listen).String()
}

// variablesOf gives a live call as its agent is told of it.
func (n *node) variablesOf(ctx context.Context, id string) (hooks.Call, error) {
	live, err := n.server.FindNamed(ctx, id)
	switch {
	case errors.Is(err, b2bua.ErrUnknownCall):
		if c := n.redirects.find(id, time.Now()); c != nil {
			return n.withVariables(c.call, c.vars, nil), nil
		}
		return hooks.Call{}, hooks.ErrUnknown
	case errors.Is(err, b2bua.ErrSeveralCalls):
		return hooks.Call{}, hooks.ErrSeveral
	case err != nil:
		return hooks.Call{}, err
	}
	r := live.Record
	return n.withVariables(hooks.Call{
		ID: r.ID, SIPCallID: r.SIPCallID, TargetSIPCallID: r.TargetSIPCallID, SynthflowCallID: r.SynthflowCallID,
		ExternalID: r.ExternalID, Trunk: r.Trunk, Route: r.Route, Target: r.Target, Direction: r.Direction, From: r.From,
		To: r.To, Lead: r.Lead, Diversion: live.Vars.Diversion,
	}, live.Vars, live.Headers(n.cfg.Hooks.Variables.Headers)), nil
}

// withVariables adds headers of the carrier's INVITE, and the configured values.
func (n *node) withVariables(call hooks.Call, vars config.Vars, headers []b2bua.Variable) hooks.Call {
	call.Variables = map[string]string{}
	for _, h := range headers {
		call.Variables[h.Name] = h.Value
	}
	for _, value := range n.cfg.Hooks.Variables.Values {
		text, err := value.Value.Render(vars)
		if err != nil { // the others are good all the same
			n.log.Warn().Err(err).Str("call", call.ID).Str("variable", value.Name).Msg("variable not given")
			continue
		}
		call.Variables[value.Name] = text
	}
	return call
}

// takeReport joins what Synthflow says of a call to the call's record.
func (n *node) takeReport(ctx context.Context, said synthflow.Report) (synthflow.Taken, error) {
	id, target, err := n.reported(ctx, said)
	if err != nil || id == "" {
		return synthflow.TakenUnknown, err
	}
	report := n.confirmed(ctx, target, said)
	if report.ExternalID != said.ExternalID {
		n.log.Warn().Str("synthflow_call_id", said.CallID).Str("external_id", said.ExternalID).Str("is", report.ExternalID).
			Msg("a report names another external id than the platform's API")
		return synthflow.TakenUnknown, nil
	}
	first, err := n.store.PutReport(ctx, id, report)
	if err == nil && !first {
		return synthflow.TakenBefore, nil
	}
	return synthflow.TakenNew, err
}

// reported is our id, and the target, of the call that a report is about, live
// or finished; empty where there is none.
func (n *node) reported(ctx context.Context, said synthflow.Report) (id, target string, err error) {
	if live, err := n.server.FindNamed(ctx, said.CallID); err == nil && live.Record.SynthflowCallID == said.CallID {
		return live.Record.ID, live.Record.Target, nil
	}
	if live, err := n.server.FindNamed(ctx, said.ExternalID); err == nil && live.Record.ExternalID == said.ExternalID && live.Record.SynthflowCallID == "" {
		return live.Record.ID, live.Record.Target, nil
	}
	if c := n.redirects.reported(said.CallID, said.ExternalID, time.Now()); c != nil {
		return c.call.ID, c.call.Target, nil
	}
	return n.store.Reported(ctx, said.CallID, said.ExternalID)
}

// targetNamed finds a target of the configuration in force.
func (f *inForce) targetNamed(name string) *config.Target {
	for i := range f.cfg.Targets {
		if f.cfg.Targets[i].Name == name {
			return &f.cfg.Targets[i]
		}
	}
	return nil
}

// confirmTimeout bounds how long the platform's API is asked about a call.
const confirmTimeout = 3 * time.Second

// confirmed is a report as the record gets it: in the words of the platform's
// API where the target has a token for it, because anybody who has seen one
// signature of a call can sign another report of that call.
func (n *node) confirmed(ctx context.Context, target string, said synthflow.Report) store.Report {
	told, err := n.tellOf(ctx, target, said.CallID)
	switch {
	case errors.Is(err, errNoAccount):
	case err != nil:
		n.log.Warn().Err(err).Str("target", target).Str("synthflow_call_id", said.CallID).Msg("a report could not be confirmed by the API")
	default:
		if told.ExternalID == "" {
			told.ExternalID = said.ExternalID
		}
		said = told
	}
	return store.Report{
		CallID: said.CallID, Status: said.Status, EndReason: said.EndReason, DurationMS: said.Duration.Milliseconds(),
		ExternalID: said.ExternalID, ReceivedAt: store.TimeOf(time.Now()), Confirmed: err == nil,
	}
}

var errNoAccount = errors.New("the target has no token")

// tellOf asks the API of a target about a call.
func (n *node) tellOf(ctx context.Context, target, id string) (synthflow.Report, error) {
	t := n.inForce.Load().targetNamed(target)
	if t == nil {
		return synthflow.Report{}, errNoAccount
	}
	api, token, workspace, known := apiOf(t)
	if !known || t.Kind != config.KindSynthflow {
		return synthflow.Report{}, errNoAccount
	}
	a, err := synthflow.NewAccount(synthflow.AccountOptions{
		BaseURL: api, Token: token.Reveal(), WorkspaceID: workspace, Timeout: confirmTimeout, UserAgent: userAgent(),
	})
	if err != nil {
		return synthflow.Report{}, err
	}
	defer a.CloseIdle()
	return a.GetCall(ctx, id)
}
