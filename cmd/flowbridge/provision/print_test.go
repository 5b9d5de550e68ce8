package provision

import (
	"encoding/json"
	"fmt"
	"testing"
)

// With --json a request that is not sent is one JSON object, secrets masked, whatever the command.
func TestDryRunAsJSON(t *testing.T) {
	t.Setenv("SYNTHFLOW_TOKEN", "")
	t.Setenv("VAPI_TOKEN", "")
	pwd := secretFile(t, trunkPassword)
	for _, tt := range []struct {
		args              []string
		method, url, body string
	}{
		{[]string{"synthflow", "number", "show", "+1", "--workspace-id", "W"}, "GET", "https://api.synthflow.ai/v2/numbers/1?workspace=W", "<nil>"},
		{
			[]string{"synthflow", "number", "create", "--workspace-id", "W", "--phone-number", "+15551230000", "--trunk-pwd-file", pwd},
			"POST", "https://api.synthflow.ai/v2/custom-numbers",
			"map[phone_number:+15551230000 trunk_pwd:[redacted] workspace_id:W]",
		},
		{[]string{"synthflow", "number", "delete", "+1", "--workspace-id", "W"}, "DELETE", "https://api.synthflow.ai/v2/numbers/1", "<nil>"},
		{
			[]string{"synthflow", "assistant", "create", "--name", "A", "--prompt", "<x>", "--region", "eu"},
			"POST", "https://api.eu.synthflow.ai/v2/assistants",
			"map[agent:map[prompt:<x>] name:A type:inbound voice_engine_version:2.0]",
		},
		{
			[]string{"vapi", "number", "create", "--sip-user", "u", "--server-url", "https://x", "--server-secret-file", pwd},
			"POST", "https://api.vapi.ai/phone-number",
			"map[assistantId:<nil> provider:vapi server:map[secret:[redacted] url:https://x] sipUri:sip:u@sip.vapi.ai]",
		},
		{
			[]string{"synthflow", "assistant", "create", "--name", "A", "--prompt", "x", "--body", secretFile(t, `{"voice_engine_version": ""}`)},
			"POST", "https://api.synthflow.ai/v2/assistants", "map[agent:map[prompt:x] name:A type:inbound]",
		},
		{[]string{"vapi", "assistant", "create", "--name", "A"}, "POST", "https://api.vapi.ai/assistant", "map[name:A]"},
	} {
		out, code := run(t, append(tt.args, "--dry-run", "--json")...)
		var got struct {
			Method, URL string
			Headers     map[string]string
			Body        any
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
			t.Errorf("%v: exit code %d, %v\n%s", tt.args, code, err, out)
			continue
		}
		if got.Method != tt.method || got.URL != tt.url || fmt.Sprint(got.Body) != tt.body ||
			got.Headers["Authorization"] != "Bearer [redacted]" || got.Headers["Accept"] != "application/json" {
			t.Errorf("%v: got %+v", tt.args, got)
		}
	}
}
