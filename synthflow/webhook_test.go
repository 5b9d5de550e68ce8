package synthflow

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/rest"
)

const report = `{"status":"completed","lead":{"name":"Ada","phone_number":"+15550100001"},
	"call":{"status":"completed","end_call_reason":"human_goodbye","model_id":"m","timezone":"UTC","call_id":"a29407fb","duration":61.5,
	"start_time":"2026-11-20T12:00:00Z","transcript":"bot: hi","diversion":null,"external_id":"CA123","more":[1]},"executed_actions":{},"analysis":{}}`

// A signed webhook is accepted, whichever of the known headers has its signature.
func TestWebhook(t *testing.T) {
	for _, name := range signatureHeaders() {
		var got []Report
		h := NewWebhook("s3cret", func(_ context.Context, r Report) (Taken, error) { got = append(got, r); return TakenNew, nil }, zerolog.Nop())
		w := post(h, "POST", "application/json; charset=utf-8", report, name, Sign("s3cret", "a29407fb"))
		want := Report{CallID: "a29407fb", Status: "completed", EndReason: "human_goodbye", Duration: 61500 * time.Millisecond, ExternalID: "CA123"}
		if w.Code != 200 || len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %d %s, %+v", name, w.Code, w.Body, got)
		}
	}
}

func post(h http.Handler, method, kind, body, header, signature string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, "/synthflow/webhook", strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	if header != "" {
		r.Header.Set(header, signature)
	}
	h.ServeHTTP(w, r)
	return w
}

// The signature is base64 of an HMAC-SHA256 over the call's id, as documented.
func TestSign(t *testing.T) {
	const signedByOpenSSL = "nTqldJvlPgvDzHzI139UT08Dvx3gbIy31Pu02A/EoiE="
	// echo -n a29407fb | openssl dgst -sha256 -hmac s3cret -binary | base64
	if got := Sign("s3cret", "a29407fb"); got != signedByOpenSSL {
		t.Errorf("got %s", got)
	}
}

// A webhook without a valid signature is not passed on.
func TestWebhookRefuses(t *testing.T) {
	var log bytes.Buffer
	h := NewWebhook("s3cret", func(context.Context, Report) (Taken, error) {
		t.Error("taken")
		return "", nil
	}, zerolog.New(&log))
	right := Sign("s3cret", "a29407fb")
	for what, c := range map[string]struct {
		method, kind, body, header, signature string
		status                                int
	}{
		"method":       {"GET", "application/json", report, "Synthflow-Signature", right, 405},
		"content type": {"POST", "text/html", report, "Synthflow-Signature", right, 415},
		"none":         {"POST", "application/json", report, "", "", 401},
		"wrong":        {"POST", "application/json", report, "Synthflow-Signature", Sign("other", "a29407fb"), 401},
		"of another":   {"POST", "application/json", report, "Synthflow-Signature", Sign("s3cret", "other"), 401},
		"hex":          {"POST", "application/json", report, "Synthflow-Signature", "00ff", 401},
		"HTML":         {"POST", "application/json", "<html>", "Synthflow-Signature", right, 400},
		"no call":      {"POST", "application/json", `{"status":"completed"}`, "Synthflow-Signature", right, 400},
		"no id":        {"POST", "application/json", `{"call":{"status":"completed"}}`, "Synthflow-Signature", Sign("s3cret", ""), 400},
		"id a number":  {"POST", "application/json", `{"call":{"call_id":7}}`, "Synthflow-Signature", Sign("s3cret", "7"), 400},
		"id with CRLF": {"POST", "application/json", `{"call":{"call_id":"a\r\nb"}}`, "Synthflow-Signature", Sign("s3cret", "a\r\nb"), 400},
		"long reason":  {"POST", "application/json", `{"call":{"call_id":"a","end_call_reason":"` + strings.Repeat("a", 300) + `"}}`, "Synthflow-Signature", Sign("s3cret", "a"), 400},
		"too large":    {"POST", "application/json", `{"call":{"transcript":"` + strings.Repeat("a", maxWebhook) + `"}}`, "Synthflow-Signature", right, 413},
	} {
		if w := post(h, c.method, c.kind, c.body, c.header, c.signature); w.Code != c.status {
			t.Errorf("%s: got %d %s; want %d", what, w.Code, w.Body, c.status)
		}
	}
	if strings.Contains(log.String(), "s3cret") {
		t.Errorf("the secret is in the log:\n%s", log.String())
	}
}

// If a report can't be stored, the sender is asked to send it again. If too many reports
// are being stored, further ones are refused.
func TestWebhookBusy(t *testing.T) {
	h := NewWebhook("s3cret", func(context.Context, Report) (Taken, error) { return "", errors.New("disk full") }, zerolog.Nop())
	right := Sign("s3cret", "a29407fb")
	if w := post(h, "POST", "application/json", report, "Synthflow-Signature", right); w.Code != 503 {
		t.Errorf("not kept: got %d", w.Code)
	}
	for range webhooks {
		h.(*webhook).places <- struct{}{}
	}
	if w := post(h, "POST", "application/json", report, "Synthflow-Signature", right); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("too many: got %d", w.Code)
	}
}

// stalling is a request body that signals when it is read, and then waits.
type stalling struct{ started, release chan struct{} }

func (b stalling) Read([]byte) (int, error) {
	b.started <- struct{}{}
	<-b.release
	return 0, io.ErrUnexpectedEOF
}

// Senders without a signature whose bodies arrive slowly must not prevent signed webhooks
// from being accepted.
func TestWebhookStrangers(t *testing.T) {
	h := NewWebhook("s3cret", func(context.Context, Report) (Taken, error) { return TakenNew, nil }, zerolog.Nop())
	body := stalling{make(chan struct{}), make(chan struct{})}
	var strangers sync.WaitGroup
	for range 2 * webhooks {
		strangers.Go(func() {
			w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/", body)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Synthflow-Signature", "guessed")
			if h.ServeHTTP(w, r); w.Code != 400 {
				t.Errorf("a stranger: got %d %s", w.Code, w.Body)
			}
		})
		<-body.started
	}
	if w := post(h, "POST", "application/json", report, "Synthflow-Signature", Sign("s3cret", "a29407fb")); w.Code != 200 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	close(body.release)
	strangers.Wait()
}

// Unsigned requests can't fill the log. Signed ones are still logged.
func TestWebhookLog(t *testing.T) {
	var log bytes.Buffer
	h := NewWebhook("s3cret", func(context.Context, Report) (Taken, error) { return TakenNew, nil }, zerolog.New(&log))
	for range 100 {
		post(h, "POST", "application/json", report, "", "")
		post(h, "POST", "application/json", report, "Synthflow-Signature", "wrong")
		post(h, "POST", "application/json", "{}", "Synthflow-Signature", "wrong")
	}
	if lines := strings.Count(log.String(), "\n"); lines == 0 || lines > 10 {
		t.Errorf("%d lines", lines)
	}
	post(h, "POST", "application/json", report, "Synthflow-Signature", Sign("s3cret", "a29407fb"))
	if !strings.Contains(log.String(), `"message":"webhook"`) {
		t.Error("the webhook is not in the log")
	}
}

// The duration is a number of seconds, or a text that contains one.
func TestReportDuration(t *testing.T) {
	for raw, want := range map[string]time.Duration{
		"61": 61 * time.Second, `"61.25"`: 61250 * time.Millisecond, "null": 0, "-1": 0, "1e99": 0, `"abc"`: 0, "[1]": 0, "": 0,
	} {
		if got := seconds([]byte(raw)); got != want {
			t.Errorf("%s: got %v; want %v", raw, got, want)
		}
	}
}

// FuzzReport checks that any report is either refused or has texts that are safe in a
// record and a log.
func FuzzReport(f *testing.F) {
	for _, seed := range []string{report, `{"call":{"call_id":"a"}}`, `{"call":{"call_id":"a","duration":"1e400","end_call_reason":"\u0000\ud800"}}`, `[]`, `{"call":[]}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseReport(body)
		if err != nil {
			if !errors.Is(err, errReport) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if r.CallID == "" || rest.BadID(r.CallID) != "" || r.Duration < 0 || r.Duration > maxReported {
			t.Errorf("got %+v", r)
		}
		for _, s := range []string{r.Status, r.EndReason, r.ExternalID} {
			if len(s) > 4*rest.MaxClean || strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("got %q", s)
			}
		}
	})
}
