package synthflow

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"flowbridge/internal/rest"
)

// A call is read from either of the two forms that the API's answer has. An answer about
// another call is refused.
func TestGetCall(t *testing.T) {
	const call = `{"call_id":"a29407fb","status":"completed","end_call_reason":"human_goodbye","duration":61,"external_id":"CA1","transcript":"hi"}`
	want := Report{CallID: "a29407fb", Status: "completed", EndReason: "human_goodbye", Duration: 61 * time.Second, ExternalID: "CA1"}
	for body, problem := range map[string]string{
		`{"status":"ok","response":{"pagination":{},"calls":[` + call + `]}}`: "",
		call: "",
		`{"status":"ok","response":{"calls":[]}}`:                          "no call",
		`{"status":"ok","response":{"calls":[` + call + `,` + call + `]}}`: "no call",
		`{"status":"ok","response":{"calls":[7]}}`:                         "no call",
		`{"status":"ok","response":{}}`:                                    "no call",
		strings.Replace(call, "a29407fb", "other", 1):                      "another call",
		`{"status":"ok","response":{"calls":[{"call_id":["a"]}]}}`:         "no text",
		`{"status":"failed"}`:                                              "failed",
		`<html>`:                                                           "",
	} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.EscapedPath() != "/v2/calls/a29407fb" {
				t.Errorf("got %s %s", r.Method, r.URL)
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		}))
		a, err := NewAccount(AccountOptions{Options: rest.Options{BaseURL: api.URL, Token: "hush-token"}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.GetCall(t.Context(), "a29407fb")
		switch {
		case problem == "" && body[0] == '{' && (err != nil || got != want):
			t.Errorf("%s: got %+v, %v", body, got, err)
		case (problem != "" || body[0] != '{') && (err == nil || !strings.Contains(err.Error(), problem)):
			t.Errorf("%s: got %+v, %v; want %q", body, got, err, problem)
		}
		a.CloseIdle()
		api.Close()
	}
}
