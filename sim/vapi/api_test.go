package vapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

func TestVapiAPI(t *testing.T) {
	v := startVapi(t, Options{Host: "vapi.test"})
	assistant, number := v.desk(t, "Hello")
	own := v.SIPAddr().String()
	for _, tt := range []struct {
		name, method, path, body string
		code                     int
		words                    string
	}{
		{"assistant", "POST", "/assistant", `{}`, 201, `"orgId"`},
		{"whole assistant", "POST", "/assistant", `{"name":"A","model":{"provider":"openai","model":"gpt-4o"},"voice":{"provider":"vapi"},"server":{"url":"https://a.example","timeoutSeconds":5}}`, 201, `"createdAt"`},
		{"array", "POST", "/assistant", `[]`, 400, "not a JSON object"},
		{"null", "POST", "/assistant", `null`, 400, "not a JSON object"},
		{"unknown member", "POST", "/assistant", `{"prompt":"x"}`, 400, "property prompt should not exist"},
		{"wrong type", "POST", "/assistant", `{"name":1,"firstMessage":[]}`, 400, `["firstMessage must be a string","name must be a string of 0 to 40 characters"]`},
		{"no model", "POST", "/assistant", `{"model":{"provider":"openai"}}`, 400, ".model must be a string"},
		{"mode", "POST", "/assistant", `{"firstMessageMode":"shout"}`, 400, "assistant-waits-for-user"},
		{"server", "POST", "/assistant", `{"server":{"url":"ftp://x"}}`, 400, "http or https"},
		{"credential", "POST", "/assistant", `{"server":{"url":"https://x","credentialId":"c"}}`, 400, "credential that does not exist"},
		{"too large", "POST", "/assistant", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too large"},
		{"change", "PATCH", "/assistant/" + assistant, `{"name":"New"}`, 200, `"firstMessage":"Hello"`},
		{"change nothing known", "PATCH", "/assistant/x", `{"name":"New"}`, 404, "Couldn't find Assistant"},
		{"get", "GET", "/assistant/" + assistant, ``, 200, `"name":"New"`},
		{"get none", "GET", "/assistant/x", ``, 404, `"statusCode":404`},
		{"list", "GET", "/assistant?limit=1", ``, 200, `[{`},
		{"limit", "GET", "/assistant?limit=x", ``, 400, "limit"},

		{"region's host", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:a.1@sip.vapi.ai"}`, 201, `"status":"active"`},
		{"own address", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:b@` + own + `"}`, 201, `sip:b@`},
		{"own name", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:c@Vapi.test"}`, 201, `sip:c@`},
		{"other region", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.eu.vapi.ai"}`, 400, "is not this region's (sip.vapi.ai)"},
		{"other host", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@example.com"}`, 400, "is not this region's"},
		{"other port", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai:5080"}`, 400, "is not this region's"},
		{"taken", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:DESK@sip.vapi.ai"}`, 400, "is taken"},
		{"no user", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:sip.vapi.ai"}`, 400, "sip:username@sip.vapi.ai"},
		{"strange user", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:a b@sip.vapi.ai"}`, 400, "sip:username@sip.vapi.ai"},
		{"sips", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sips:d@sip.vapi.ai"}`, 400, "sip:username@sip.vapi.ai"},
		{"no provider", "POST", "/phone-number", `{"sipUri":"sip:d@sip.vapi.ai"}`, 400, "provider is required"},
		{"twilio", "POST", "/phone-number", `{"provider":"twilio","sipUri":"sip:d@sip.vapi.ai"}`, 400, `must be \"vapi\"`},
		{"no sipUri", "POST", "/phone-number", `{"provider":"vapi"}`, 400, "sipUri is required"},
		{"area code", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","numberDesiredAreaCode":"415"}`, 400, "telephone network"},
		{"unknown assistant", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","assistantId":"x"}`, 400, "Couldn't find Assistant"},
		{"squad", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","squadId":"x"}`, 400, "squadId names something that does not exist"},
		{"short password", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","authentication":{"username":"` + longUser + `","password":"short"}}`, 400, "20 to 40"},
		{"no password", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","authentication":{"username":"` + longUser + `"}}`, 400, "password is required"},
		{"fallback", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","fallbackDestination":{"type":"number","number":"7"}}`, 400, "E.164"},

		{"per-call assistant", "PATCH", "/phone-number/" + number, `{"assistantId":null,"serverUrl":"https://example.com/a"}`, 200, `"assistantId":null`},
		{"back", "PATCH", "/phone-number/" + number, `{"assistantId":"` + assistant + `","serverUrl":null}`, 200, assistant},
		{"provider is for good", "PATCH", "/phone-number/" + number, `{"provider":"vapi"}`, 400, "property provider should not exist"},
		{"taken by change", "PATCH", "/phone-number/" + number, `{"sipUri":"sip:b@sip.vapi.ai"}`, 400, "is taken"},
		{"own again", "PATCH", "/phone-number/" + number, `{"sipUri":"sip:desk@sip.vapi.ai"}`, 200, "sip:desk@"},
		{"change none", "PATCH", "/phone-number/x", `{}`, 404, "Phone Number"},
		{"remove", "DELETE", "/phone-number/" + number, ``, 200, number},
		{"removed", "GET", "/phone-number/" + number, ``, 404, "Phone Number"},
		{"free again", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:desk@sip.vapi.ai"}`, 201, "desk"},
		{"remove none", "DELETE", "/assistant/x", ``, 404, "Assistant"},
		{"list numbers", "GET", "/phone-number", ``, 200, "sip:b@"},
		{"calls", "GET", "/call", ``, 200, "[]"},
		{"no call", "GET", "/call/x", ``, 404, "Call"},
		{"no path", "GET", "/squad", ``, 404, "Cannot GET /squad"},
		{"no method", "PUT", "/assistant", ``, 404, "Cannot PUT /assistant"},
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

func TestVapiKey(t *testing.T) {
	v := startVapi(t, Options{Key: "private"})
	for header, want := range map[string]int{"": 401, "Bearer sim-key": 401, "private": 401, "Bearer private": 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.APIURL()+"/assistant", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", header)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%q: %d", header, res.StatusCode)
		}
	}
}

// TestVapiKeepsSecrets: what was set as a secret is in no answer, no log and no
// message.
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

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Region: "global"}, {Fault: sim.Fault{Kind: sim.FaultFailed}}, {SIPListen: "x"}, {HTTPListen: "x"}} {
		if _, err := Start(t.Context(), o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
}

// FuzzVapiAPI: whatever is sent is refused in words or kept; what is kept can
// be written as JSON and has no secrets.
func FuzzVapiAPI(f *testing.F) {
	for _, s := range []string{
		`{"name":"A","firstMessage":"{{x}}","model":{"provider":"a","model":"b"},"server":{"url":"https://a"}}`,
		`{"provider":"vapi","sipUri":"sip:a@sip.vapi.ai","assistantId":null,"serverUrl":"https://a","authentication":{"username":"` + longUser + `","password":"` + longSecret + `"}}`,
		`{"provider":"vapi","sipUri":"sip:a@127.0.0.1:5060","fallbackDestination":{"type":"sip","sipUri":"sip:b@c","sipHeaders":{"x-a":"1"}}}`,
		`{"sipUri":"sip:a@[::1]:5060","hooks":[{"secret":"s"}]}`, `{"maxDurationSeconds":1e999}`, `{"sipUri":"sip:@"}`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a := newAccount(sipNames{region: "sip.vapi.ai"})
		for _, do := range []func(standin.Object) (standin.Object, *standin.Refusal){
			func(o standin.Object) (standin.Object, *standin.Refusal) {
				return a.put(&a.assistants, "", o, assistantShape)
			},
			func(o standin.Object) (standin.Object, *standin.Refusal) {
				return a.put(&a.numbers, "", o, newNumberShape)
			},
		} {
			body, err := standin.ParseObject(raw)
			if err != nil {
				return
			}
			o, refusal := do(body)
			if refusal != nil {
				if refusal.Code != 400 || len(refusal.Words) == 0 || refusal.Words[0] == "" {
					t.Errorf("%+v", refusal)
				}
				continue
			}
			text, err := json.Marshal(withoutSecrets(o))
			if err != nil || bytes.Contains(text, []byte(longSecret)) && bytes.Contains(raw, []byte(`"password":"`+longSecret)) && bytes.Count(raw, []byte(longSecret)) == 1 {
				t.Errorf("%s, %v", text, err)
			}
		}
	})
}
