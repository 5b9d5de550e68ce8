package synthflow

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"flowbridge/internal/rest"
)

// If the API refuses voice_engine_version, the same body is sent once more without it.
func TestVoiceEngineVersionIsDropped(t *testing.T) {
	for name, tt := range map[string]struct {
		refusal string
		sent    int
		ok      bool
	}{
		"named":      {`400 {"detail":{"description":"Extra field voice_engine_version"}}`, 2, true},
		"named, 422": {`422 {"detail":[{"loc":["body","voice_engine_version"],"msg":"extra fields not permitted"}]}`, 2, true},
		"another":    {`400 {"detail":"no such voice"}`, 1, false},
		"500":        {`500 {"detail":"voice_engine_version"}`, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			var bodies []string
			a := accountOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(body))
				if !strings.Contains(string(body), "voice_engine_version") {
					_, _ = io.WriteString(w, `{"status":"ok","response":{"model_id":"m"}}`)
					return
				}
				w.WriteHeader(map[string]int{"4": 400, "5": 500}[tt.refusal[:1]] + map[bool]int{true: 22}[tt.refusal[:3] == "422"])
				_, _ = io.WriteString(w, tt.refusal[4:])
			}))
			body := rest.Object{"name": "A", "voice_engine_version": "2.0"}
			made, err := a.Assistants().Create(t.Context(), body, nil)
			if len(bodies) != tt.sent || (err == nil) != tt.ok || (made["model_id"] == "m") != tt.ok || made["voice_engine_version"] != nil {
				t.Errorf("sent %q; got %v, %v", bodies, made, err)
			}
			if tt.ok && bodies[1] != `{"name":"A"}` || body["voice_engine_version"] != "2.0" {
				t.Errorf("sent %q, and the body is now %v", bodies, body)
			}
		})
	}
}
