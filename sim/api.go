package sim

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/google/uuid"
)

const (
	apiPath     = "/v2/prepare_inbound"
	maxAPIBody  = 64 << 10
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

func (s *Synthflow) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.sip.enter() {
			apiError(w, http.StatusServiceUnavailable, "closing")
			return
		}
		defer s.sip.leave()
		switch {
		case r.URL.Path != apiPath:
			apiError(w, http.StatusNotFound, "no such path")
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			apiError(w, http.StatusMethodNotAllowed, "use POST")
		case !s.authorized(r):
			apiError(w, http.StatusUnauthorized, "missing or wrong bearer token")
		default:
			s.prepare(w, r)
		}
	})
}

func (s *Synthflow) authorized(r *http.Request) bool {
	got, want := r.Header.Get("Authorization"), "Bearer "+s.opts.Token
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

func (s *Synthflow) prepare(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		apiError(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
	if err != nil {
		apiError(w, http.StatusRequestEntityTooLarge, "body too large or cut short")
		return
	}
	req, err := parseAPIRequest(body)
	if err != nil {
		apiError(w, http.StatusBadRequest, err.Error())
		return
	}
	if !s.misbehave(w, r, req) {
		return
	}
	id := uuid.NewString()
	now := time.Now()
	s.ids.add(id, req.to, now)
	s.opts.Log.Info().Str("id", id).Str("from", req.from).Str("to", req.to).Msg("call prepared")
	apiAnswer(w, req, "registered", id, nil, now)
}

// misbehave is where the faults of the API are; false means that the request
// is dealt with.
func (s *Synthflow) misbehave(w http.ResponseWriter, r *http.Request, req apiRequest) bool {
	f := s.Fault()
	if f.Kind == FaultFailed {
		reason := "service outage"
		apiAnswer(w, req, "failed", "", &reason, time.Now())
		return false
	}
	return apiFault(w, r, f, s.sip.ctx.Done(), apiError)
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

// members calls f at each value of the JSON object that comes next.
func members(dec *json.Decoder, f func(key string) error) error {
	start, err := dec.Token()
	if err != nil {
		return fmt.Errorf("json: %w", err)
	}
	if start != json.Delim('{') {
		return errors.New("want a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return fmt.Errorf("json: %w", err)
		}
		name, _ := key.(string)
		if err := f(name); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
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

func apiAnswer(w http.ResponseWriter, r apiRequest, status, id string, errorMessage *string, now time.Time) {
	head, err := json.Marshal(struct {
		Status    string          `json:"call_status"`
		ID        string          `json:"synthflow_call_id"`
		Direction string          `json:"direction"`
		Model     string          `json:"model_id"`
		Workspace string          `json:"workspace_id"`
		Variables json.RawMessage `json:"custom_variables"`
		Lead      string          `json:"lead_phone_number"`
		Agent     string          `json:"agent_phone_number"`
		Start     int64           `json:"start_time"`
		Error     *string         `json:"error_message"`
	}{status, id, "inbound", r.model, r.workspace, r.variables, r.from, r.to, now.UnixMilli(), errorMessage})
	if err != nil {
		apiError(w, http.StatusInternalServerError, "internal error")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(append(head[:len(head)-1], ','), emptyFields+"}"...))
}

func apiError(w http.ResponseWriter, code int, words string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	body, _ := json.Marshal(map[string]any{"detail": map[string]string{"status": "error", "description": words}})
	_, _ = w.Write(body)
}
