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
	}
	if v := h.Vapi; v != nil {
		handler, err := vapi.NewHandler(vapi.HandlerOptions{
			Secret: v.Secret.Reveal(), Decide: assistants{n, v.Rules}.decide, Timeout: v.Timeout, Log: n.log,
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
		return hooks.Call{}, hooks.ErrUnknown
	case errors.Is(err, b2bua.ErrSeveralCalls):
		return hooks.Call{}, hooks.ErrSeveral
	case err != nil:
		return hooks.Call{}, err
	}
	r, v := live.Record, n.cfg.Hooks.Variables
	call := hooks.Call{
		ID: r.ID, SIPCallID: r.SIPCallID, TargetSIPCallID: r.TargetSIPCallID, SynthflowCallID: r.SynthflowCallID,
		ExternalID: r.ExternalID, Trunk: r.Trunk, Route: r.Route, Target: r.Target, Direction: r.Direction, From: r.From,
		To: r.To, Lead: r.Lead, Diversion: live.Vars.Diversion, Variables: map[string]string{},
	}
	for _, h := range live.Headers(v.Headers) {
		call.Variables[h.Name] = h.Value
	}
	for _, value := range v.Values {
		text, err := value.Value.Render(live.Vars)
		if err != nil { // the others are good all the same
			n.log.Warn().Err(err).Str("call", r.ID).Str("variable", value.Name).Msg("variable not given")
			continue
		}
		call.Variables[value.Name] = text
	}
	return call, nil
}

// takeReport joins what Synthflow says of a call to the call's record.
func (n *node) takeReport(ctx context.Context, said synthflow.Report) (synthflow.Taken, error) {
	target, known, err := n.targetOf(ctx, said.CallID)
	if err != nil || !known {
		return synthflow.TakenUnknown, err
	}
	first, err := n.store.PutReport(ctx, n.confirmed(ctx, target, said))
	if err == nil && !first {
		return synthflow.TakenBefore, nil
	}
	return synthflow.TakenNew, err
}

// targetOf is the target of the call, live or finished, that has an id of the
// platform's.
func (n *node) targetOf(ctx context.Context, id string) (target string, known bool, err error) {
	if live, err := n.server.FindNamed(ctx, id); err == nil && live.Record.SynthflowCallID == id {
		return live.Record.Target, true, nil
	}
	return n.store.PlatformCall(ctx, id)
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

// confirmed is a report as the record gets it.
func (n *node) confirmed(_ context.Context, _ string, said synthflow.Report) store.Report {
	return store.Report{
		CallID: said.CallID, Status: said.Status, EndReason: said.EndReason, DurationMS: said.Duration.Milliseconds(),
		ExternalID: said.ExternalID, ReceivedAt: store.TimeOf(time.Now()),
	}
}
