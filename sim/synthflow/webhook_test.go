package synthflow

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/sim"
)

// hooked is one request that a webhook received.
type hooked struct {
	path, method string
	header       http.Header
	body         string
}

// receiver starts a server that lets answer handle the requests in order. The channel gets each
// request.
func receiver(t *testing.T, answer func(n int, w http.ResponseWriter)) (string, <-chan hooked) {
	t.Helper()
	got := make(chan hooked, 32)
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		n++ // requests arrive one at a time
		answer(n, w)
		got <- hooked{r.URL.RequestURI(), r.Method, r.Header.Clone(), string(b)}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

// The webhook after a call has the documented fields, is signed with the call's id, and is repeated
// until the receiver accepts it.
func TestWebhookAfterACall(t *testing.T) {
	t.Parallel()
	url, got := receiver(t, func(n int, w http.ResponseWriter) {
		if n == 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	o := bound("")
	o.Webhook = Webhook{URL: url + "/hook?a=b", Secret: "s3cret-of-hooks"}
	var log bytes.Buffer
	o.Log = zerolog.New(zerolog.SyncWriter(&log))
	s, c := startPlatform(t, o), startCarrier(t)
	cc := sim.CarrierCall{To: target(s), From: "+15550100001", Hold: 700 * time.Millisecond, Headers: []sim.Header{{Name: "X-EI", Value: "E.our-1;O.+1555;"}}}
	if r := place(t, c, cc); r.Status != 200 {
		t.Fatalf("got %d %s", r.Status, r.Reason)
	}
	first, h := <-got, <-got
	if first.body != h.body || h.method != "POST" || h.path != "/hook?a=b" || h.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %+v after %+v", h, first)
	}
	a := accountAnswer{body: h.body}
	id := a.at(t, "call.call_id").(string)
	for path, want := range map[string]any{
		"status": "completed", "call.status": "completed", "call.end_call_reason": "human_goodbye", "call.model_id": legacyID, "call.duration": float64(last(s).spoken()),
		"call.external_id": "our-1", "call.diversion": "+1555", "call.timezone": "Europe/Berlin", "lead.phone_number": "+15550100001",
	} {
		if got := a.at(t, path); got != want {
			t.Errorf("%s: got %v; want %v", path, got, want)
		}
	}
	if _, err := time.Parse(time.RFC3339, a.at(t, "call.start_time").(string)); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"executed_actions", "analysis", "lead"} {
		if _, isObject := a.at(t, key).(map[string]any); !isObject {
			t.Errorf("%s is no object in %s", key, h.body)
		}
	}
	mac := hmac.New(sha256.New, []byte("s3cret-of-hooks"))
	mac.Write([]byte(id))
	if sig := h.header.Get(signature); sig != base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %q in %v", sig, h.header)
	}
	until(func() bool { return last(s).WebhookStatus == 200 }) // the platform has read the answer
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if seen := last(s); seen.WebhookTries != 2 || seen.WebhookStatus != 200 || seen.SynthflowID != id {
		t.Errorf("got %d tries, status %d", seen.WebhookTries, seen.WebhookStatus)
	}
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), `"external_id":"our-1"`) {
		t.Errorf("log: %s", log.String())
	}
}

// An agent's own URL takes precedence over the option. A cancelled call is reported; a refused call
// is not.
func TestWebhookOfTheAgent(t *testing.T) {
	t.Parallel()
	url, got := receiver(t, func(int, http.ResponseWriter) {})
	o := bound("")
	o.Webhook.URL = "http://127.0.0.1:1/nobody"
	s, c := startPlatform(t, o), startCarrier(t)
	if a := accountCall(t, s, "PUT", "/v2/assistants/"+legacyID, `{"external_webhook_url":"`+url+`/agent"}`); a.code != 200 {
		t.Fatal(a.body)
	}
	refused := sim.CarrierCall{To: strings.Replace(target(s), number, "+19", 1), From: "+1"}
	if r := place(t, c, refused); r.Status != 404 {
		t.Fatalf("got %d", r.Status)
	}
	s.SetFault(sim.Fault{Kind: sim.FaultLate, After: time.Hour})
	cc := sim.CarrierCall{To: target(s), From: "+1", CancelAfter: 50 * time.Millisecond}
	if r := place(t, c, cc); r.Status != 487 {
		t.Fatalf("got %d", r.Status)
	}
	h := <-got
	if a := (accountAnswer{body: h.body}); h.path != "/agent" || a.at(t, "status") != "canceled" || a.at(t, "call.end_call_reason") != "user_canceled" ||
		a.at(t, "call.duration") != 0.0 || h.header.Get(signature) != "" {
		t.Errorf("got %+v", h)
	}
}

// A platform that is closing does not wait for the next delivery.
func TestWebhookEndsWithThePlatform(t *testing.T) {
	t.Parallel()
	url, got := receiver(t, func(_ int, w http.ResponseWriter) { w.WriteHeader(500) })
	o := bound("")
	o.Webhook = Webhook{URL: url}
	s, c := startPlatform(t, o), startCarrier(t)
	place(t, c, sim.CarrierCall{To: target(s), From: "+1", Hold: 1})
	<-got
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := len(got); n != 0 {
		t.Errorf("%d more deliveries", n)
	}
}
