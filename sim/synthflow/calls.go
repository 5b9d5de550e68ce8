package synthflow

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// status is the platform's word for the state of a call (API reference,
// get-phone-call).
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

// spoken is how long the call was answered, in seconds.
func (a Call) spoken() int {
	if a.AnsweredAt.IsZero() || a.EndedAt.IsZero() {
		return 0
	}
	return int(a.EndedAt.Sub(a.AnsweredAt).Round(time.Second) / time.Second)
}

// transcript is as much as is known of the conversation.
func (c *call) transcript(a Call) string {
	if a.AnsweredAt.IsZero() {
		return ""
	}
	greeting := c.Seen().agent.greeting
	if greeting == "" {
		greeting = "(greeting)"
	}
	return fmt.Sprintf("bot: %s\nhuman: (%d s of audio)\n", greeting, len(a.Heard)/sim.SampleRate)
}

// getCall answers with a list of one, as in the API reference, and adds the external
// id and the diversion of the post-call webhook.
func (p *Platform) getCall(r *http.Request, _ []byte) (any, *standin.Refusal) {
	id := r.PathValue("call")
	var one map[string]any
	if c := p.byID(id); c != nil {
		one = p.dialledCall(c)
	} else if req, at, ok := p.ids.find(id); ok {
		one = map[string]any{
			"call_id": p.told("call", id), "model_id": req.Model, "phone_number_from": req.From, "phone_number_to": req.To,
			"status": "registered", "start_time": strconv.FormatInt(at.UnixMilli(), 10), "type_of_call": "inbound", "duration": 0,
			"prompt_variables": req.Variables, "transcript": "", "recording_url": nil, "end_call_reason": nil,
		}
	} else {
		return nil, noSuch("no call %q", id)
	}
	return okAnswer(map[string]any{"pagination": pagination(1, defaultPage, 0), "calls": []any{one}}), nil
}

// dialledCall is a call with an INVITE, also before its end.
func (p *Platform) dialledCall(c *call) map[string]any {
	a := c.snapshot()
	reason, hangup, cut := any(nil), any(nil), any(nil)
	switch {
	case a.EndedAt.IsZero():
	case a.GotCancel:
		reason, hangup, cut = "user_canceled", "caller", "caller_hangup"
	case a.EndedBy == sim.SideCaller:
		reason, hangup, cut = "human_ended_call", "caller", "caller_hangup"
	case a.EndedBy == sim.SideAgent:
		reason, hangup, cut = "agent_ended_call", "callee", "callee_hangup"
	default:
		reason, cut = "error", "error"
	}
	variables := map[string]any{}
	_ = json.Unmarshal(c.Seen().asked.Variables, &variables) // an object, or absent
	for _, more := range []map[string]string{a.Variables, a.Fetched} {
		for name, value := range more {
			variables[name] = value
		}
	}
	out := map[string]any{
		"call_id": p.told("call", a.SynthflowID), "model_id": a.ModelID, "campaign_type": "inbound", "phone_number_from": c.from, "phone_number_to": c.to,
		"name": "", "transcript": c.transcript(a), "duration": a.spoken(), "recording_url": nil, "end_call_reason": reason,
		"custom_end_call_reason": nil, "error_message": "", "executed_actions": map[string]any{}, "prompt_variables": variables,
		"type_of_call": "inbound", "start_time": strconv.FormatInt(a.InvitedAt.UnixMilli(), 10), "timezone": "Europe/Berlin",
		"telephony_hangup": hangup, "telephony_disconnect_reason": cut, "telephony_start": a.InvitedAt.UTC().Format(time.RFC3339Nano),
		"telephony_end": orNullTime(a.EndedAt), "status": a.status(), "collected_variables": nil,
		"external_id": orNull(a.ExternalID), "diversion": orNull(a.Diversion),
	}
	if !a.AnsweredAt.IsZero() {
		out["telephony_ringing_duration"] = a.AnsweredAt.Sub(a.InvitedAt).Milliseconds()
	}
	if !a.EndedAt.IsZero() {
		out["telephony_duration"] = a.EndedAt.Sub(a.InvitedAt).Milliseconds()
	}
	return out
}
