package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/platform/openai"
	"flowbridge/sim/platform"
)

// realtimeSession returns a session of the Realtime API with these instructions.
func realtimeSession(instructions string) string {
	return `{type: realtime, model: gpt-realtime, instructions: '` + instructions + `', audio: {output: {voice: marin}}}`
}

// openAIStage starts a stand-in of OpenAI, or of another platform with the same hook, which calls Flowbridge's hook.
// more has the session for the hook, and further settings.
func openAIStage(t *testing.T, name, secret, api, more string) *profileStage {
	t.Helper()
	of, _ := described(name)
	at, dir := freeAddress(t), t.TempDir()
	for name, text := range map[string]string{"secret": secret, "token": platform.DefaultToken} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600))
	}
	hook := "http://" + at + "/openai/webhook"
	s := newProfileStage(t, of, platform.Options{Webhook: platform.Webhook{URL: hook}}, func(text string) string {
		return text + fmt.Sprintf(`
hooks:
  listen: %q
  openai:
    secret_file: %q
    token_file: %q
    api: %q
    session: %s
`, at, filepath.Join(dir, "secret"), filepath.Join(dir, "token"), api, more)
	})
	s.hook = hook
	return s
}

// A call rings at OpenAI, which calls the hook. The hook accepts the call with the session of the configuration, and
// the record has OpenAI's id.
func TestOpenAIAccepts(t *testing.T) {
	s := openAIStage(t, "openai", platform.DefaultWebhookSecret, "API_URL", realtimeSession(`The caller is "{{.From.Number}}", called {{.To.Number}}.`))
	got, record := s.call(t)
	calls := s.platform.Calls()
	if got.Status != 200 || len(calls) != 1 || record.Disposition != "answered" {
		t.Fatalf("the carrier got %d %s; record %+v; calls %+v", got.Status, got.Reason, record, calls)
	}
	if said := calls[0].Session.Text("instructions"); said != `The caller is "+15075550100", called +15075785607.` {
		t.Errorf("the session is %v", calls[0].Session)
	}
	if calls[0].ID == "" || record.Report == nil || record.Report.CallID != calls[0].ID || record.Report.Status != "accepted" {
		t.Errorf("OpenAI's call is %q; the report is %+v", calls[0].ID, record.Report)
	}
	if n := common(calls[0].SentMarks, got.HeardMarks); n < 20 {
		t.Errorf("the carrier heard %d packets of the agent's greeting", n)
	}
}

// The stand-in sends both kinds of events. A session of type live is for GPT-Live. Azure has another path, and its key
// in another header.
func TestOpenAIForms(t *testing.T) {
	for name, tt := range map[string]struct{ api, more, id string }{
		"openai": {"API_URL", `{type: live, model: gpt-live-1, instructions: 'The caller is {{.From.Number}}.'}`, "live_"},
		"azure":  {"API_URL/openai", realtimeSession(`The caller is {{.From.Number}}.`), "rtc_"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openAIStage(t, name, platform.DefaultWebhookSecret, tt.api, tt.more)
			got, record := s.call(t)
			calls := s.platform.Calls()
			if got.Status != 200 || len(calls) != 1 || record.Report == nil || record.Report.CallID != calls[0].ID || !strings.HasPrefix(calls[0].ID, tt.id) {
				t.Fatalf("the carrier got %d %s; record %+v; calls %+v", got.Status, got.Reason, record, calls)
			}
			if said := calls[0].Session.Text("instructions"); said != "The caller is +15075550100." {
				t.Errorf("the session is %v", calls[0].Session)
			}
		})
	}
}

// While a call is being accepted, a copy of its header comes with another OpenAI id. It gets no session, but is
// rejected.
func TestOpenAIAcceptsOnce(t *testing.T) {
	var s *profileStage
	staged := make(chan struct{})  // closed when s is set
	copies := make(chan string, 4) // requests about copies: path and body
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(r.URL.Path, "copy") {
			copies <- r.URL.Path + " " + string(body)
			return
		}
		var session struct{ Instructions string } // contains our id
		if err := json.Unmarshal(body, &session); err != nil {
			t.Error(err)
		}
		event := fmt.Sprintf(`{"type":"realtime.call.incoming","data":{"call_id":"copy","sip_headers":[{"name":"X-Call","value":%q}]}}`, session.Instructions)
		header, err := openai.Sign(platform.DefaultWebhookSecret, "copy", time.Now(), []byte(event))
		if err != nil {
			t.Error(err)
		}
		<-staged
		again, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.hook, strings.NewReader(event))
		if err != nil {
			t.Error(err)
		}
		again.Header = header
		again.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(again)
		if err != nil || answer.StatusCode != http.StatusOK || answer.Body.Close() != nil {
			t.Errorf("the hook answers %+v, %v", answer, err)
		}
		to, err := url.Parse(s.platform.APIURL())
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		httputil.NewSingleHostReverseProxy(to).ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	s = openAIStage(t, "openai", platform.DefaultWebhookSecret, api.URL, realtimeSession("{{.CallID}}"))
	close(staged)
	got, record := s.call(t)
	calls := s.platform.Calls()
	if got.Status != 200 || len(calls) != 1 || record.Report == nil || record.Report.CallID != calls[0].ID {
		t.Fatalf("the carrier got %d %s; record %+v; calls %+v", got.Status, got.Reason, record, calls)
	}
	if told := <-copies; told != `/v1/realtime/calls/copy/reject {"status_code":603}` || len(copies) > 0 {
		t.Errorf("OpenAI was told %s of the copy", told)
	}
}

// A call whose session can't be made is rejected, so that another target can be tried. If the secrets differ, the hook
// does not answer the call.
func TestOpenAIRejects(t *testing.T) {
	for name, tt := range map[string]struct {
		instructions, secret string
		status               int
		cause                cause.Cause
	}{
		"no session":     {`{{if eq .From.Number "+15075550100"}}{{slice .From.Number 99}}{{end}}`, platform.DefaultWebhookSecret, 500, cause.TargetError},
		"another secret": {"Hello", "whsec_YW5vdGhlcg==", 480, cause.TargetRefused},
	} {
		t.Run(name, func(t *testing.T) {
			s := openAIStage(t, "openai", tt.secret, "API_URL", realtimeSession(tt.instructions))
			got, record := s.call(t)
			calls := s.platform.Calls()
			if len(calls) != 1 || calls[0].Status != tt.status || calls[0].Session != nil || record.Report != nil || record.Cause != string(tt.cause) {
				t.Errorf("the carrier got %d; calls %+v; record %+v", got.Status, calls, record)
			}
		})
	}
}
