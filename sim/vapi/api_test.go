package vapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestVapiAPI(t *testing.T) {
	v := startVapi(t, Options{})
	assistant, number := v.desk(t, "Hello")
	own := v.SIPAddr().String()
	for _, tt := range []struct {
		name, method, path, body string
		code                     int
		words                    string
	}{
		{"assistant", "POST", "/assistant", `{}`, 201, `"orgId"`},
		{"another member", "POST", "/assistant", `{"voicemailMessage":"x"}`, 201, `"voicemailMessage":"x"`},
		{"wrong type", "POST", "/assistant", `{"name":1,"firstMessage":[]}`, 400, `["field \"firstMessage\" must be a string","field \"name\" must be a string"]`},
		{"too large", "POST", "/assistant", `{"name":"` + strings.Repeat("x", 256<<10) + `"}`, 413, "too large"},
		{"get", "GET", "/assistant/" + assistant, ``, 200, `"firstMessage":"Hello"`},
		{"list", "GET", "/assistant?limit=1", ``, 200, `[{`},

		{"region's host", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:a.1@sip.vapi.ai"}`, 201, `"status":"active"`},
		{"own address", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:b@` + own + `"}`, 201, `sip:b@`},
		{"other region", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.eu.vapi.ai"}`, 400, "not this region's (sip.vapi.ai)"},
		{"taken", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:DESK@sip.vapi.ai"}`, 400, "is taken"},
		{"no provider", "POST", "/phone-number", `{"sipUri":"sip:d@sip.vapi.ai"}`, 400, `field \"provider\" is missing`},
		{"unknown assistant", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","assistantId":"x"}`, 400, "Couldn't find Assistant"},
		{"short password", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","authentication":{"username":"` + longUser + `","password":"short"}}`, 400, "20 to 40"},
		{"fallback", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","fallbackDestination":{"type":"number","number":"7"}}`, 400, "E.164"},

		{"remove", "DELETE", "/phone-number/" + number, ``, 200, number},
		{"removed", "GET", "/phone-number/" + number, ``, 404, "Phone Number"},
		{"free again", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:desk@sip.vapi.ai"}`, 201, "desk"},
		{"list numbers", "GET", "/phone-number", ``, 200, "sip:b@"},
		{"calls", "GET", "/call", ``, 200, "[]"},
		{"no call", "GET", "/call/x", ``, 404, "Call"},
		{"no path", "GET", "/squad", ``, 404, "there is no /squad"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, answer := v.request(t, tt.method, tt.path, tt.body)
			if code != tt.code || !strings.Contains(answer, tt.words) {
				t.Errorf("got %d %s; want %d and %s", code, answer, tt.code, tt.words)
			}
			var e struct {
				Message    any
				Error      string
				StatusCode int
			}
			if code >= 400 && (json.Unmarshal([]byte(answer), &e) != nil || e.Message == nil || e.Error != http.StatusText(code) || e.StatusCode != code) {
				t.Errorf("not the shape of an error: %s", answer)
			}
		})
	}
}

// TestVapiKeepsSecrets checks that no answer, log line or message contains a value that was set as
// a secret.
func TestVapiKeepsSecrets(t *testing.T) {
	var log bytes.Buffer
	v := startVapi(t, Options{Log: zerolog.New(zerolog.SyncWriter(&log))})
	var answers string
	for _, body := range []string{
		`{"provider":"vapi","sipUri":"sip:a@sip.vapi.ai","server":{"url":"http://127.0.0.1:1/","secret":"` + longSecret + `","headers":{"Authorization":"` + longSecret + `"}}}`,
		`{"provider":"vapi","sipUri":"sip:b@sip.vapi.ai","serverUrl":"http://127.0.0.1:1/","serverUrlSecret":"` + longSecret + `","authentication":{"username":"` + longUser + `","password":"` + longSecret + `"},"hooks":[{"headers":{"x":"` + longSecret + `"}}]}`,
	} {
		_, answer := v.request(t, http.MethodPost, "/phone-number", body)
		answers += answer
	}
	_, list := v.request(t, http.MethodGet, "/phone-number", "")
	if r := place(t, startCarrier(t), v.dial("a")); r.Status != 503 {
		t.Errorf("got %d", r.Status)
	}
	c := v.last(t)
	_, calls := v.request(t, http.MethodGet, "/call", "")
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{"answers": answers, "list": list, "request": c.Asked, "answer": c.Answer, "calls": calls, "log": log.String()} {
		if strings.Contains(text, longSecret) || text == "" {
			t.Errorf("%s: %s", name, text)
		}
	}
	if !strings.Contains(list, longUser) {
		t.Errorf("the user is no secret: %s", list)
	}
}
