package check

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The API's own words are shown, the token is not.
func TestOnlineAPI(t *testing.T) {
	at := answering(t, "200 OK", 0)
	for _, c := range []struct {
		what, target, body, want string
		status                   int
	}{
		{
			"synthflow", `kind: synthflow, region: eu, uri: "sip:a@` + at + `", prepare: {api: "API", token_env: T, workspace_id: w1}`,
			`{"status":"success","response":{"pagination":{"total_records":1,"limit":20,"offset":0},"phone_numbers":[{"number":"+15550100002","sid":"x","is_available":false}]}}`,
			"takes the token; it knows 1 number of workspace w1", 200,
		},
		{
			"wrong token", `kind: synthflow, region: eu, uri: "sip:a@` + at + `", account: {api: "API", token_env: T}`,
			`{"detail":"Invalid token hush-token"}`, "Invalid token [redacted]", 401,
		},
		{
			"region", `kind: synthflow, region: eu, uri: "sip:a@` + at + `", account: {api: "API", token_env: T}`,
			`{"error":"forbidden"}`, "the target is of region eu", 403,
		},
		{
			"no region", `kind: synthflow, uri: "sip:a@` + at + `", account: {api: "API", token_env: T}`,
			`{"error":"forbidden"}`, "and the target has no region: write the account's", 403,
		},
		{
			"vapi", `kind: vapi, region: us, uri: "sip:a@` + at + `", account: {api: "API", token_env: T}`,
			`[{"id":"n1","provider":"vapi","sipUri":"sip:a@sip.vapi.ai"}]`, "it knows 1 number", 200,
		},
		{
			"HTML", `kind: vapi, region: us, uri: "sip:a@` + at + `", account: {api: "API", token_env: T}`,
			`<html>proxy</html>`, "HTML", 200,
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer hush-token" {
					t.Errorf("got %s %s %v", r.Method, r.URL, r.Header)
				}
				w.Header().Set("Content-Type", map[bool]string{true: "text/html", false: "application/json"}[c.body[0] == '<'])
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer api.Close()
			got := prober{lookup: noLookup, timeout: time.Minute}.lines(t, onlineConfig(t, strings.Replace(c.target, "API", api.URL, 1)))
			if !strings.Contains(got, c.want) || strings.Contains(got, "hush-token") {
				t.Errorf("got\n%swant %q in it", got, c.want)
			}
		})
	}
	agents := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/v2/assistants/m1":
			fmt.Fprint(w, `{"status":"ok","response":{"assistants":[{"model_id":"m1","name":"Reception"}]}}`)
		case "/v2/numbers":
			fmt.Fprint(w, `{"status":"ok","response":{"pagination":{"total_records":0,"limit":20,"offset":0},"phone_numbers":[]}}`)
		default:
			w.WriteHeader(404)
			fmt.Fprint(w, `{"detail":"no such agent"}`)
		}
	}))
	defer agents.Close()
	for model, want := range map[string]string{"m1": `ok      t                    agent    model_id is agent "Reception"`, "m2": "no such agent; is prepare.model_id that of an agent"} {
		got := prober{lookup: noLookup, timeout: time.Minute}.lines(t, onlineConfig(t, `kind: synthflow, uri: "sip:a@`+at+`", prepare: {api: "`+agents.URL+`", token_env: T, workspace_id: w, model_id: `+model+`}`))
		if !strings.Contains(got, want) {
			t.Errorf("%s: got\n%s", model, got)
		}
	}
	got := prober{lookup: noLookup, timeout: time.Minute}.lines(t, onlineConfig(t, `kind: vapi, uri: "sip:a@`+at+`"`))
	if !strings.Contains(got, "-       t") || !strings.Contains(got, "not tried: the target has no token") {
		t.Errorf("without a token: got %s", got)
	}
}
