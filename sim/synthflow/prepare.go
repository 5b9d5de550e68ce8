package synthflow

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// emptyFields are the empty fields of the long form of the answer.
const emptyFields = `"duration":null,"end_call_reason":null,"judge_results":null,"is_voicemail":null,` +
	`"voicemail_not_detected_during_call_but_detected_in_post_call":null,` +
	`"voicemail_during_call_but_not_voicemail_in_post_call":null,` +
	`"timeline":[],"twilio_call_sid":null,"egress_recording_url":null,"agents_used":[],` +
	`"original_payload":null,"executed_actions":[],"prompt_variables":{},"voicemail_message_left":null,` +
	`"recording_sid":null,"secondary_call_id":null,"recording_url":null,"payload_received":null,` +
	`"language":null,"type_of_call":null,"recording_duration":null,"transcript":null,` +
	`"error_message_payload_validation":null,"node_and_stage_time_track":{},"campaign_name":null,` +
	`"lead_name":null,"labels":[],"deployment_type":null,"timezone":null`

// prepareShape has exactly the five documented fields.
func prepareShape() *standin.Shape {
	all := []string{"from_number", "to_number", "model_id", "workspace_id", "custom_variables"}
	return &standin.Shape{Required: all, Fields: fields{
		"custom_variables": isFlat,
		"to_number":        standin.TextWithin(1, 200),
	}.
		With(standin.IsString, "from_number", "model_id", "workspace_id")}
}

// isFlat accepts an object of strings, numbers and booleans.
func isFlat(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return "must be an object"
	}
	for name, value := range object {
		switch value.(type) {
		case string, json.Number, bool:
		default:
			return fmt.Sprintf("has custom variable %q, which must be a string, a number or a boolean", name)
		}
	}
	return ""
}

// prepare registers a call and gives it an id. It refuses an unknown workspace, and an unknown agent once the account
// has agents besides the one for demonstrations.
func (p *Platform) prepare(r request) (any, *standin.Refusal) {
	a, now := p.account, time.Now()
	switch workspace, model := r.Sent.Text("workspace_id"), r.Sent.Text("model_id"); {
	case !a.mayUse(workspace):
		return nil, notYours(workspace)
	case a.hasAgents() && a.agents.Get(model) == nil:
		return nil, noSuch("no agent %q", model)
	case p.Fault().Kind == sim.FaultFailed:
		return p.prepared(r.Sent, "failed", "", "service outage", now), nil
	}
	id := uuid.NewString()
	p.ids.Add(id, r.Sent, now, p.opts.IDLifetime)
	p.opts.Log.Info().Str("id", id).Str("from", r.Sent.Text("from_number")).Str("to", r.Sent.Text("to_number")).
		Msg("call prepared")
	return p.prepared(r.Sent, "registered", p.told("call", id), nil, now), nil
}

// hasAgents says whether there are agents besides the one for demonstrations. The account is locked.
func (a *account) hasAgents() bool {
	n := a.agents.Len()
	if a.agents.Get(a.opts.DemoAgent) != nil {
		n--
	}
	return n > 0
}

// prepared is the answer of prepare_inbound. The short form has six fields.
func (p *Platform) prepared(asked standin.Object, status string, id, problem any, now time.Time) any {
	answer := map[string]any{}
	if !p.opts.ShortAnswer {
		if err := json.Unmarshal([]byte("{"+emptyFields+"}"), &answer); err != nil {
			return err // cannot be written as JSON and becomes a 500
		}
		answer["lead_phone_number"], answer["agent_phone_number"] = asked["from_number"], asked["to_number"]
		answer["start_time"], answer["error_message"] = now.UnixMilli(), problem
	}
	answer["call_status"], answer["synthflow_call_id"], answer["direction"] = status, id, "inbound"
	for _, name := range []string{"model_id", "workspace_id", "custom_variables"} {
		answer[name] = asked[name]
	}
	return answer
}
