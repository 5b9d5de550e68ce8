package synthflow

import (
	"encoding/json"
	"fmt"
	"net/http"
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

// prepareRequest is the body of prepare_inbound.
type prepareRequest struct {
	From      string          `json:"from_number"`
	To        string          `json:"to_number"`
	Model     string          `json:"model_id"`
	Workspace string          `json:"workspace_id"`
	Variables json.RawMessage `json:"custom_variables"`
}

// prepareShape has exactly the five documented fields.
var prepareShape = shape(fields{
	"from_number": standin.IsString, "to_number": standin.IsString, "model_id": standin.IsString, "workspace_id": standin.IsString,
	"custom_variables": isFlat,
}, "from_number", "to_number", "model_id", "workspace_id", "custom_variables")

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

func parsePrepare(body []byte) (r prepareRequest, refusal *standin.Refusal) {
	if _, refusal = read(prepareShape, body); refusal != nil {
		refusal.Code = http.StatusBadRequest // also for a wrong shape
		return r, refusal
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, badRequest("%v", err)
	}
	if r.To == "" {
		return r, badRequest(`field "to_number" is empty`)
	}
	return r, nil
}

// prepare registers a call and gives it an id.
func (p *Platform) prepare(_ *http.Request, body []byte) (any, *standin.Refusal) {
	req, refusal := parsePrepare(body)
	if refusal == nil {
		refusal = p.account.mayPrepare(req)
	}
	if refusal != nil {
		return nil, refusal
	}
	now := time.Now()
	if p.Fault().Kind == sim.FaultFailed {
		return p.prepared(req, "failed", "", "service outage", now), nil
	}
	id := uuid.NewString()
	p.ids.Add(id, req, now, p.opts.IDLifetime)
	p.opts.Log.Info().Str("id", id).Str("from", req.From).Str("to", req.To).Msg("call prepared")
	return p.prepared(req, "registered", p.told("call", id), nil, now), nil
}

// mayPrepare refuses an unknown workspace, and an unknown agent once the account has
// agents besides the one for demonstrations.
func (a *account) mayPrepare(req prepareRequest) *standin.Refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.mayUse(req.Workspace):
		return notYours(req.Workspace)
	case a.hasAgents() && a.agents.Get(req.Model) == nil:
		return noSuch("no agent %q", req.Model)
	}
	return nil
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
func (p *Platform) prepared(r prepareRequest, status string, id, problem any, now time.Time) any {
	answer := map[string]any{}
	if !p.opts.ShortAnswer {
		if err := json.Unmarshal([]byte("{"+emptyFields+"}"), &answer); err != nil {
			return err // cannot be written as JSON and becomes a 500
		}
		answer["lead_phone_number"], answer["agent_phone_number"] = r.From, r.To
		answer["start_time"], answer["error_message"] = now.UnixMilli(), problem
	}
	answer["call_status"], answer["synthflow_call_id"], answer["direction"] = status, id, "inbound"
	answer["model_id"], answer["workspace_id"], answer["custom_variables"] = r.Model, r.Workspace, r.Variables
	return answer
}
