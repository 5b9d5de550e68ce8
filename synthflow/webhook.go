package synthflow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
)

// Report is what the platform says of a call after its end.
type Report struct {
	CallID     string // the platform's
	Status     string // completed, failed …
	EndReason  string
	Duration   time.Duration
	ExternalID string // of the E token of X-EI
}

// The bounds of what a webhook may hold.
const (
	maxWebhook  = 4 << 20         // bytes; there are transcripts in it
	webhookWait = 5 * time.Second // for the whole body
	maxWord     = 256             // bytes of a status, reason or id
	webhooks    = 16              // being taken at a time
)

// signatureHeaders are the names that the signature has been seen under: the
// documents give it as a CGI variable (page "Webhooks security").
func signatureHeaders() []string {
	return []string{"Synthflow-Signature", "X-Synthflow-Signature", "HTTP_SYNTHFLOW_SIGNATURE"}
}

// Sign gives the signature of a webhook: of the call's id alone, not of its
// body (page "Webhooks security").
func Sign(secret, callID string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(callID))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Webhook takes the post-call webhook.
type Webhook struct {
	secret    string
	take      func(ctx context.Context, r Report) (Taken, error)
	log       zerolog.Logger
	strangers zerolog.Logger
	bodies    httpd.Bodies
	room      chan struct{} // one element per report that is being taken
}

// Taken is what became of a report.
type Taken string

// The values of Taken.
const (
	TakenNew     Taken = "taken"
	TakenBefore  Taken = "known already" // the signature is good for ever, so the first report of a call counts
	TakenUnknown Taken = "not a call of ours"
)

// NewWebhook gives the handler of the post-call webhook. take is told what a
// rightly signed one says; its error is answered with 503, upon which the
// platform may send it again.
func NewWebhook(secret string, take func(ctx context.Context, r Report) (Taken, error), log zerolog.Logger) *Webhook {
	return &Webhook{
		secret: secret, take: take, log: log, strangers: httpd.Strangers(log),
		bodies: httpd.Bodies{Max: maxWebhook, Wait: webhookWait}, room: make(chan struct{}, webhooks),
	}
}

// ServeHTTP answers one webhook.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		webhookAnswer(w, http.StatusMethodNotAllowed, "use POST")
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		webhookAnswer(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
		return
	}
	if report, ok := h.signed(w, r); ok {
		h.keep(r.Context(), w, report)
	}
}

// signed reads a report and checks its signature. What is signed is in the
// body, so strangers' bodies are read, too; ok is false where the answer is given.
func (h *Webhook) signed(w http.ResponseWriter, r *http.Request) (report Report, ok bool) {
	signature := signatureOf(r.Header)
	if signature == "" {
		h.strangers.Warn().Str("src", r.RemoteAddr).Msg("webhook without signature")
		webhookAnswer(w, http.StatusUnauthorized, "there is no signature: looked for "+strings.Join(signatureHeaders(), ", "))
		return Report{}, false
	}
	body, release, no := h.bodies.Read(w, r)
	if no != nil {
		h.strangers.Warn().Str("src", r.RemoteAddr).Str("reason", no.Words).Msg("webhook not read")
		webhookAnswer(w, no.Status, no.Words)
		return Report{}, false
	}
	defer release()
	report, err := ParseReport(body)
	if err != nil {
		h.strangers.Warn().Err(err).Str("src", r.RemoteAddr).Msg("webhook not understood")
		webhookAnswer(w, http.StatusBadRequest, err.Error())
		return Report{}, false
	}
	if !hmac.Equal([]byte(signature), []byte(Sign(h.secret, report.CallID))) {
		h.strangers.Warn().Str("src", r.RemoteAddr).Str("synthflow_call_id", report.CallID).
			Msg("webhook with a wrong signature: is hooks.synthflow.secret_file that of the workspace?")
		webhookAnswer(w, http.StatusUnauthorized, "the signature is wrong")
		return Report{}, false
	}
	return report, true
}

// keep has a report taken, unless too many are.
func (h *Webhook) keep(ctx context.Context, w http.ResponseWriter, report Report) {
	select {
	case h.room <- struct{}{}:
		defer func() { <-h.room }()
	default:
		w.Header().Set("Retry-After", "1")
		webhookAnswer(w, http.StatusServiceUnavailable, "too many webhooks at a time")
		return
	}
	taken, err := h.take(ctx, report)
	if err != nil {
		// Whoever takes reports says what is broken; a call that is not over is not.
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

// ErrReport is within each error of ParseReport.
var ErrReport = errors.New("not a post-call webhook")

// reported has the members that are read; the others are left alone. What may
// be missing or null is a pointer or raw.
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

// ParseReport reads the body of a post-call webhook (page "Webhooks").
func ParseReport(body []byte) (Report, error) {
	var r reported
	if err := json.Unmarshal(body, &r); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrReport, err)
	}
	if r.Call == nil {
		return Report{}, fmt.Errorf("%w: there is no object call", ErrReport)
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
	if why := badID(out.CallID); why != "" {
		return Report{}, fmt.Errorf("%w: call.call_id: %s", ErrReport, why)
	}
	out.Duration = seconds(r.Call.Duration)
	return out, nil
}

// word reads a text that may be missing or null.
func word(name string, raw json.RawMessage, to *string) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("%w: %s is no text", ErrReport, name)
	}
	if len(s) > maxWord {
		return fmt.Errorf("%w: %s is longer than %d bytes", ErrReport, name, maxWord)
	}
	*to = clean(s)
	return nil
}

// maxReported bounds the duration of a call that is believed.
const maxReported = 7 * 24 * time.Hour

// seconds reads a duration, a number or a text with one; 0 for anything else.
func seconds(raw json.RawMessage) time.Duration {
	var n json.Number
	if json.Unmarshal(raw, &n) != nil { // it takes texts, too
		return 0
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > maxReported.Seconds() {
		return 0
	}
	return time.Duration(f * float64(time.Second)).Round(time.Millisecond)
}
