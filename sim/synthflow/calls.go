package synthflow

import (
	"maps"
	"strconv"
	"time"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// status returns the platform's word for the state of a call (API reference, get-phone-call).
func (a Call) status() string {
	switch {
	case !a.EndedAt.IsZero() && !a.AnsweredAt.IsZero():
		return "completed"
	case !a.EndedAt.IsZero() && a.GotCancel:
		return "canceled"
	case !a.EndedAt.IsZero():
		return "failed"
	case !a.AnsweredAt.IsZero():
		return "in-progress"
	}
	return "ringing"
}

// spoken returns how many seconds the call was answered.
func (a Call) spoken() int {
	if a.AnsweredAt.IsZero() || a.EndedAt.IsZero() {
		return 0
	}
	return int(a.EndedAt.Sub(a.AnsweredAt).Round(time.Second) / time.Second)
}

// reasons returns the platform's words for the end of a call: in the webhook, in the API, and for the side that hung
// up.
func (a Call) reasons() (webhook string, api, hangup any) {
	switch {
	case a.EndedAt.IsZero():
		return "undefined", nil, nil
	case a.GotCancel:
		return "user_canceled", "user_canceled", "caller"
	case a.EndedBy == sim.SideCaller:
		return "human_goodbye", "human_ended_call", "caller"
	case a.EndedBy == sim.SideAgent:
		return "agent_goodbye", "agent_ended_call", "callee"
	}
	return "undefined", "error", nil
}

// getCall answers with a list of one, as in the API reference, and adds the external id and the diversion of the
// post-call webhook.
func (p *Platform) getCall(r request) (any, *standin.Refusal) {
	id := r.PathValue("call")
	c := p.byID(id)
	if c == nil {
		return nil, noSuch("no call %q", id)
	}
	one := c.reported()
	one["call_id"] = p.told("call", id)
	return okAnswer(map[string]any{"pagination": pagination(1, defaultPage, 0), "calls": []any{one}}), nil
}

// reported returns the members of a call that has had an INVITE, even before its end.
func (c *call) reported() map[string]any {
	a, variables := c.Snapshot(), c.prepared()
	_, reason, hangup := a.reasons()
	for name, value := range a.Variables {
		variables[name] = value
	}
	return map[string]any{
		"type_of_call": "inbound", "model_id": a.ModelID, "phone_number_from": c.from, "phone_number_to": c.to,
		"duration": a.spoken(), "end_call_reason": reason, "telephony_hangup": hangup, "status": a.status(),
		"start_time": strconv.FormatInt(a.InvitedAt.UnixMilli(), 10), "prompt_variables": variables,
		"error_message": "", "external_id": a.ExternalID, "diversion": a.Diversion,
	}
}

// prepared returns the custom variables of prepare_inbound.
func (c *call) prepared() map[string]any {
	variables := map[string]any{}
	maps.Copy(variables, c.Seen().asked.Object("custom_variables"))
	return variables
}
