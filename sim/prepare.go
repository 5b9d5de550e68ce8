package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
)

const (
	apiPath     = "/v2/prepare_inbound"
	emptyFields = `"duration":null,"end_call_reason":null,"judge_results":null,"is_voicemail":null,` +
		`"voicemail_not_detected_during_call_but_detected_in_post_call":null,` +
		`"voicemail_during_call_but_not_voicemail_in_post_call":null,` +
		`"timeline":[],"twilio_call_sid":null,"egress_recording_url":null,"agents_used":[],` +
		`"original_payload":null,"executed_actions":[],"prompt_variables":{},"voicemail_message_left":null,` +
		`"recording_sid":null,"secondary_call_id":null,"recording_url":null,"payload_received":null,` +
		`"language":null,"type_of_call":null,"recording_duration":null,"transcript":null,` +
		`"error_message_payload_validation":null,"node_and_stage_time_track":{},"campaign_name":null,` +
		`"lead_name":null,"labels":[],"deployment_type":null,"timezone":null`
)

// apiRequest is the body of prepare_inbound.
type apiRequest struct {
	from, to, model, workspace string
	variables                  json.RawMessage
}

// prepare registers a call and gives it an id.
func (s *Synthflow) prepare(w http.ResponseWriter, _ *http.Request, body []byte) {
	req, err := parseAPIRequest(body)
	if err != nil {
		s.apiError(w, http.StatusBadRequest, err.Error())
		return
	}
	if refused := s.account.mayPrepare(req); refused != nil {
		s.apiError(w, refused.code, refused.words)
		return
	}
	now := time.Now()
	if s.Fault().Kind == FaultFailed {
		reason := "service outage"
		s.prepareAnswer(w, req, "failed", "", &reason, now)
		return
	}
	id := uuid.NewString()
	s.ids.add(id, req, now)
	s.opts.Log.Info().Str("id", id).Str("from", req.from).Str("to", req.to).Msg("call prepared")
	s.prepareAnswer(w, req, "registered", s.told("call", id), nil, now)
}

// mayPrepare says whether the account has what a call names: the workspace, and
// the agent once there is one.
func (a *account) mayPrepare(req apiRequest) *apiRefusal {
	switch _, known := a.agent(req.model); {
	case !a.mayUse(req.workspace):
		return &apiRefusal{http.StatusForbidden, fmt.Sprintf("workspace %q is not yours", req.workspace)}
	case a.hasAgents() && !known:
		return noSuch("no agent %q", req.model)
	}
	return nil
}

// parseAPIRequest wants exactly the five documented fields.
func parseAPIRequest(body []byte) (apiRequest, error) {
	var r apiRequest
	dec := json.NewDecoder(bytes.NewReader(body))
	seen := map[string]bool{}
	err := members(dec, func(key string) error {
		if seen[key] {
			return fmt.Errorf("field %q appears twice", key)
		}
		seen[key] = true
		target := map[string]*string{
			"from_number": &r.from, "to_number": &r.to, "model_id": &r.model, "workspace_id": &r.workspace,
		}[key]
		switch {
		case target != nil:
			var v any
			if err := dec.Decode(&v); err != nil {
				return err
			}
			text, isString := v.(string)
			if !isString {
				return fmt.Errorf("field %q must be a string", key)
			}
			*target = text
			return nil
		case key == "custom_variables":
			if err := dec.Decode(&r.variables); err != nil {
				return err
			}
			return flatObject(r.variables)
		}
		return fmt.Errorf("unknown field %q", key)
	})
	if err != nil {
		return r, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("data after the JSON object")
	}
	for _, key := range []string{"from_number", "to_number", "model_id", "workspace_id", "custom_variables"} {
		if !seen[key] {
			return r, fmt.Errorf("field %q is missing", key)
		}
	}
	if r.to == "" {
		return r, errors.New(`field "to_number" is empty`)
	}
	return r, nil
}

func flatObject(raw json.RawMessage) error {
	var values map[string]any
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &values) != nil {
		return errors.New(`field "custom_variables" must be an object`)
	}
	for name, v := range values {
		switch v.(type) {
		case string, float64, bool:
		default:
			return fmt.Errorf("custom variable %q must be a string, a number or a boolean", name)
		}
	}
	return nil
}

// shortAnswer are the six fields of the short form of the answer; the long form
// has them too.
type shortAnswer struct {
	Status    string          `json:"call_status"`
	ID        any             `json:"synthflow_call_id"`
	Direction string          `json:"direction"`
	Model     string          `json:"model_id"`
	Workspace string          `json:"workspace_id"`
	Variables json.RawMessage `json:"custom_variables"`
}

func (s *Synthflow) prepareAnswer(w http.ResponseWriter, r apiRequest, status string, id any, errorMessage *string, now time.Time) {
	six := shortAnswer{status, id, "inbound", r.model, r.workspace, r.variables}
	if s.opts.ShortAnswer {
		s.apiAnswer(w, six)
		return
	}
	head, err := json.Marshal(struct {
		shortAnswer
		Lead  string  `json:"lead_phone_number"`
		Agent string  `json:"agent_phone_number"`
		Start int64   `json:"start_time"`
		Error *string `json:"error_message"`
	}{six, r.from, r.to, now.UnixMilli(), errorMessage})
	if err != nil {
		s.apiError(w, http.StatusInternalServerError, "internal error")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(append(head[:len(head)-1], ','), emptyFields+"}"...))
}
