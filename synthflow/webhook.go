package synthflow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
	"flowbridge/internal/rest"
)

// Report is the platform's report of a finished call.
type Report struct {
	CallID     string // the platform's id of the call
	Status     string // completed, failed …
	EndReason  string
	Duration   time.Duration
	ExternalID string // value of the E token in X-EI
}

// These are the limits for a webhook.
const (
	maxWebhook  = 4 << 20         // bytes; there may be a transcript
	webhookWait = 5 * time.Second // time limit for reading the whole body
	maxWord     = 256             // bytes of a status, reason or id
	webhooks    = 16              // webhooks handled at a time
)

// signatureHeaders returns the header names under which the signature has been seen. The documents give the name as
// a CGI variable (page "Webhooks security").
func signatureHeaders() []string {
	return []string{"Synthflow-Signature", "X-Synthflow-Signature", "HTTP_SYNTHFLOW_SIGNATURE"}
}

// Sign returns the signature of a webhook. It covers only the call's id, not the body (page "Webhooks security").
func Sign(secret, callID string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(callID))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// webhook receives the post-call webhook.
type webhook struct {
	secret    string
	take      func(ctx context.Context, r Report) (Taken, error)
	log       zerolog.Logger
	strangers zerolog.Logger
	bodies    httpd.Bodies
	places    httpd.Places
}

// Taken says what was done with a report.
type Taken string

// These are the values of Taken.
const (
	TakenNew     Taken = "taken"
	TakenBefore  Taken = "known already" // the first report of a call counts, because a signature never expires
	TakenUnknown Taken = "not a call of ours"
)

// NewWebhook returns the handler of the post-call webhook. take receives the report of a webhook with a valid
// signature. If take fails, the webhook is answered with 503, after which the platform may send it again.
func NewWebhook(secret string, take func(ctx context.Context, r Report) (Taken, error),
	log zerolog.Logger,
) http.Handler {
	return &webhook{
		secret: secret, take: take, log: log, strangers: httpd.Strangers(log),
		bodies: httpd.Bodies{Max: maxWebhook, Wait: webhookWait}, places: make(httpd.Places, webhooks),
	}
}

// ServeHTTP answers one webhook.
func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	report, no := h.signed(w, r)
	if no != nil {
		webhookAnswer(w, no.Status, no.Words)
		return
	}
	h.keep(r.Context(), w, report)
}

// signed parses a report and checks its signature. The signed id is in the body, so the body must be read before the
// sender is authenticated.
func (h *webhook) signed(w http.ResponseWriter, r *http.Request) (Report, *httpd.Refusal) {
	signature := signatureOf(r.Header)
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return Report{}, &httpd.Refusal{Status: http.StatusMethodNotAllowed, Words: "use POST"}
	case !httpd.HasType(r, "application/json"):
		return Report{}, &httpd.Refusal{
			Status: http.StatusUnsupportedMediaType,
			Words:  "Content-Type must be application/json",
		}
	case signature == "":
		h.strangers.Warn().Str("src", r.RemoteAddr).Msg("webhook without signature")
		return Report{}, &httpd.Refusal{
			Status: http.StatusUnauthorized,
			Words:  "there is no signature: looked for " + strings.Join(signatureHeaders(), ", "),
		}
	}
	body, release, no := h.bodies.Read(w, r)
	if no != nil {
		h.strangers.Warn().Str("src", r.RemoteAddr).Str("reason", no.Words).Msg("webhook not read")
		return Report{}, no
	}
	defer release()
	report, err := parseReport(body)
	if err != nil {
		h.strangers.Warn().Err(err).Str("src", r.RemoteAddr).Msg("webhook not understood")
		return Report{}, &httpd.Refusal{Status: http.StatusBadRequest, Words: err.Error()}
	}
	if !hmac.Equal([]byte(signature), []byte(Sign(h.secret, report.CallID))) {
		h.strangers.Warn().Str("src", r.RemoteAddr).Str("synthflow_call_id", report.CallID).
			Msg("webhook with a wrong signature: is hooks.synthflow.secret_file that of the workspace?")
		return Report{}, &httpd.Refusal{Status: http.StatusUnauthorized, Words: "the signature is wrong"}
	}
	return report, nil
}

// keep passes a report to take, unless too many are in progress.
func (h *webhook) keep(ctx context.Context, w http.ResponseWriter, report Report) {
	if !h.places.Take() {
		w.Header().Set("Retry-After", "1")
		webhookAnswer(w, http.StatusServiceUnavailable, "too many webhooks at a time")
		return
	}
	defer h.places.Free()
	taken, err := h.take(ctx, report)
	if err != nil {
		// This is only a warning: take itself logs real faults, and a call that is still up is not a fault.
		h.log.Warn().Err(err).Str("synthflow_call_id", report.CallID).Msg("webhook not kept")
		webhookAnswer(w, http.StatusServiceUnavailable, "not kept, send it again")
		return
	}
	h.log.Info().Str("synthflow_call_id", report.CallID).Str("status", report.Status).Str("end_reason", report.EndReason).
		Str("external_id", report.ExternalID).Str("outcome", string(taken)).Msg("webhook")
	webhookAnswer(w, http.StatusOK, string(taken))
}

func signatureOf(h http.Header) string {
	for _, name := range signatureHeaders() {
		if v := h.Get(name); v != "" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func webhookAnswer(w http.ResponseWriter, status int, words string) {
	httpd.Answer(w, status, map[string]string{"status": words})
}

// errReport is wrapped by each error of parseReport.
var errReport = errors.New("not a post-call webhook")

// reported holds the members that are used. Members that may be missing or null are pointers or raw.
type reported struct {
	Status json.RawMessage `json:"status"`
	Call   *struct {
		ID         json.RawMessage `json:"call_id"`
		Status     json.RawMessage `json:"status"`
		EndReason  json.RawMessage `json:"end_call_reason"`
		Duration   json.RawMessage `json:"duration"`
		ExternalID json.RawMessage `json:"external_id"`
	} `json:"call"`
}

// parseReport parses the body of a post-call webhook (page "Webhooks").
func parseReport(body []byte) (Report, error) {
	var r reported
	if err := json.Unmarshal(body, &r); err != nil {
		return Report{}, fmt.Errorf("%w: %w", errReport, err)
	}
	if r.Call == nil {
		return Report{}, fmt.Errorf("%w: there is no object call", errReport)
	}
	var out Report
	for _, f := range []struct {
		name string
		raw  json.RawMessage
		to   *string
	}{
		{"call.call_id", r.Call.ID, &out.CallID},
		{"status", r.Status, &out.Status},
		{"call.status", r.Call.Status, &out.Status},
		{"call.end_call_reason", r.Call.EndReason, &out.EndReason},
		{"call.external_id", r.Call.ExternalID, &out.ExternalID},
	} {
		if err := word(f.name, f.raw, f.to); err != nil {
			return Report{}, err
		}
	}
	if why := rest.BadID(out.CallID); why != "" {
		return Report{}, fmt.Errorf("%w: call.call_id: %s", errReport, why)
	}
	out.Duration = seconds(r.Call.Duration)
	return out, nil
}

// word parses a text that may be missing or null.
func word(name string, raw json.RawMessage, to *string) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("%w: %s is no text", errReport, name)
	}
	if len(s) > maxWord {
		return fmt.Errorf("%w: %s is longer than %d bytes", errReport, name, maxWord)
	}
	*to = rest.Clean(s)
	return nil
}

// maxReported is the longest duration that is accepted.
const maxReported = 7 * 24 * time.Hour

// seconds parses a duration, which is a number or a text with a number. Anything else is 0.
func seconds(raw json.RawMessage) time.Duration {
	var n json.Number
	if json.Unmarshal(raw, &n) != nil { // json.Number also accepts texts
		return 0
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > maxReported.Seconds() {
		return 0
	}
	return time.Duration(f * float64(time.Second)).Round(time.Millisecond)
}
