package provision

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// secretBodies have secrets that are neither texts nor named as ours are. All of them have 5ecre7 or 987654321 in them.
var secretBodies = map[string]string{
	"vapi": `{"sipUri": "sip:ann@127.0.0.1:5060", "name": "plain", "secret": 987654321, "server": {"url": "https://plain.example", "headers": {"X-Api-Key": "5ecre7a", "X-Number": 9876543210}},
		"tokens": ["5ecre7b", {"deep": "5ecre7c"}], "Private-Key": "5ecre7d"}`,
	"synthflow": `{"phone_number": "+15551230000", "workspace_id": "W", "friendly_name": "plain", "trunk_pwd": 987654321, "headers": [{"key": "X-Api-Key", "value": "5ecre7"}]}`,
}

// Whatever a body has below the name of a secret is printed neither by --dry-run nor by an error nor by show, even where
// the API repeats it under another name.
func TestSecretsOfBodiesAreNotPrinted(t *testing.T) {
	for platform, body := range secretBodies {
		t.Run(platform, func(t *testing.T) {
			got := ""
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				data, _ := io.ReadAll(r.Body)
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.Method == http.MethodGet && r.URL.Path == "/phone-number":
					_, _ = io.WriteString(w, `[]`)
				case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/id-1"):
					_, _ = io.WriteString(w, strings.Replace(body, "{", `{"id": "id-1",`, 1))
				case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/15551230001"):
					_, _ = io.WriteString(w, strings.Replace(body, "0000", "0001", 1))
				case r.Method == http.MethodGet:
					w.WriteHeader(http.StatusNotFound)
				default:
					got = string(data)
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, `{"message": {"you sent": `+got+`}}`)
				}
			}))
			defer s.Close()
			t.Setenv("VAPI_TOKEN", accountToken)
			t.Setenv("SYNTHFLOW_TOKEN", accountToken)
			file := secretFile(t, body)
			shown := map[string]string{"vapi": "id-1", "synthflow": "+15551230001"}[platform]
			for _, step := range []cliStep{
				{[]string{"create", "--body", file, "--dry-run"}, 0, []string{"plain", "[redacted]"}},
				{[]string{"create", "--body", file}, 1, []string{"400 Bad Request", "plain", "[redacted]"}},
				{[]string{"show", shown}, 0, []string{"plain", "[redacted]"}},
				{[]string{"show", shown, "--json"}, 0, []string{"plain", "[redacted]"}},
			} {
				step.args = append(append([]string{platform, "number"}, step.args...), "--api", s.URL)
				if platform == "synthflow" {
					step.args = append(step.args, "--workspace-id", "W")
				}
				step.says = append(step.says, "!5ecre7", "!987654321")
				out, code := run(t, step.args...)
				checkOutput(t, step, out, code)
			}
			if !strings.Contains(got, "5ecre7") || !strings.Contains(got, "987654321") {
				t.Errorf("the API got %s", got)
			}
		})
	}
}
