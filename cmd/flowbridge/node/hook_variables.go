package node

import (
	"context"
	"errors"
	"time"

	"flowbridge/b2bua"
	"flowbridge/config"
	"flowbridge/hooks"
)

// variablesOf gives a live call as its agent is told of it.
func (n *Node) variablesOf(ctx context.Context, id string) (hooks.Call, error) {
	live, err := n.server.FindNamed(ctx, id)
	elsewhere, other := n.redirects.find(id, time.Now())
	switch {
	case errors.Is(err, b2bua.ErrUnknownCall) && other == nil:
		return elsewhere.call, nil
	case errors.Is(err, b2bua.ErrUnknownCall):
		return hooks.Call{}, other
	case errors.Is(err, b2bua.ErrSeveralCalls), err == nil && !errors.Is(other, hooks.ErrUnknown): // both a live one's and a redirected one's
		return hooks.Call{}, hooks.ErrSeveral
	case err != nil:
		return hooks.Call{}, err
	}
	r := live.Record
	return n.withVariables(hooks.Call{
		ID: r.ID, SIPCallID: r.SIPCallID, TargetSIPCallID: r.TargetSIPCallID, SynthflowCallID: r.SynthflowCallID,
		ExternalID: r.ExternalID, Trunk: r.Trunk, Route: r.Route, Target: r.Target, Direction: r.Direction, From: r.From,
		To: r.To, Lead: r.Lead, Diversion: live.Vars.Diversion,
	}, live.Vars, live.Headers(n.config().Hooks.Variables.Headers)), nil
}

// withVariables adds headers of the carrier's INVITE, and the configured values.
func (n *Node) withVariables(call hooks.Call, vars config.Vars, headers []b2bua.Variable) hooks.Call {
	call.Variables = map[string]string{}
	for _, h := range headers {
		call.Variables[h.Name] = h.Value
	}
	for _, value := range n.config().Hooks.Variables.Values {
		text, err := value.Value.Render(vars)
		if err != nil { // the others are good all the same
			n.log.Warn().Err(err).Str("call", call.ID).Str("variable", value.Name).Msg("variable not given")
			continue
		}
		call.Variables[value.Name] = text
	}
	return call
}
