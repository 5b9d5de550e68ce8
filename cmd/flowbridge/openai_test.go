package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/platform"
)

// openAIStage is a stand-in of OpenAI that asks the hook of Flowbridge, whose session has these instructions.
func openAIStage(t *testing.T, instructions, secret string) *profileStage {
	t.Helper()
	of, _ := platform.Describe("openai")
	at, dir := freeAddress(t), t.TempDir()
	for name, text := range map[string]string{"secret": secret, "token": platform.DefaultToken} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return newProfileStage(t, of, platform.Options{Webhook: platform.Webhook{URL: "http://" + at + "/openai/webhook"}}, func(text string) string {
		return text + fmt.Sprintf(`
hooks:
  openai:
    listen: %q
    secret_file: %q
    token_file: %q
    api: "API_URL"
    session: {type: realtime, model: gpt-realtime, instructions: '%s', audio: {output: {voice: marin}}}
`, at, filepath.Join(dir, "secret"), filepath.Join(dir, "token"), instructions)
	})
}

// A call rings at OpenAI, which asks the hook. The hook accepts it with the session of the configuration, and the record has
// OpenAI's id.
func TestOpenAIAccepts(t *testing.T) {
	s := openAIStage(t, `The caller is "{{.From.Number}}", called {{.To.Number}}.`, platform.DefaultWebhookSecret)
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

// A call whose session can't be made is rejected, so that another target has its turn; where the secrets differ, nobody answers.
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
			s := openAIStage(t, tt.instructions, tt.secret)
			got, record := s.call(t)
			calls := s.platform.Calls()
			if len(calls) != 1 || calls[0].Status != tt.status || calls[0].Session != nil || record.Report != nil || record.Cause != string(tt.cause) {
				t.Errorf("the carrier got %d; calls %+v; record %+v", got.Status, calls, record)
			}
		})
	}
}
