package vapi

import (
	"bytes"
	"context"
	"encoding/json"
	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

const (
	longUser   = "a-user-of-twenty-signs"
	longSecret = "a-password-nobody-may-see"
)

func startVapi(t *testing.T, o Options) *Platform {
	t.Helper()
	if o.RingFor == 0 {
		o.RingFor = -1
	}
	v, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("close vapi: %v", err)
		}
	})
	return v
}

// request sends a body to the API and gives status and answer.
func (v *Platform) request(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, v.APIURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+v.Key())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// create makes an object and gives its id.
func (v *Platform) create(t *testing.T, path, body string) string {
	t.Helper()
	code, answer := v.request(t, http.MethodPost, path, body)
	var o struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &o); err != nil || code != http.StatusCreated || o.ID == "" {
		t.Fatalf("POST %s %s: %d %s", path, body, code, answer)
	}
	return o.ID
}

// desk is a number with an assistant that says words.
func (v *Platform) desk(t *testing.T, words string) (assistant, number string) {
	t.Helper()
	assistant = v.create(t, "/assistant", fmt.Sprintf(`{"name":"Desk","firstMessage":%q}`, words))
	return assistant, v.create(t, "/phone-number", fmt.Sprintf(`{"provider":"vapi","sipUri":"sip:desk@sip.vapi.ai","assistantId":%q}`, assistant))
}

func (v *Platform) dial(user string, headers ...sim.Header) sim.CarrierCall {
	return sim.CarrierCall{To: "sip:" + user + "@" + v.SIPAddr().String(), From: "+15550100001", Headers: headers, Hold: 100 * time.Millisecond, Seed: 7}
}

// last is the only call so far, when it is over.
func (v *Platform) last(t *testing.T) Call {
	t.Helper()
	list := v.calls.All()
	if len(list) != 1 {
		t.Fatalf("%d calls", len(list))
	}
	<-list[0].In.Ended()
	return v.Calls()[0]
}

func startCarrier(t *testing.T) *sim.Carrier {
	t.Helper()
	c, err := sim.StartCarrier(context.Background(), sim.CarrierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close carrier: %v", err)
		}
	})
	return c
}

func place(t *testing.T, c *sim.Carrier, cc sim.CarrierCall) sim.CarrierResult {
	t.Helper()
	r, err := c.Call(t.Context(), cc)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

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
		{"squad", "POST", "/phone-number", `{"provider":"vapi","sipUri":"sip:d@sip.vapi.ai","squadId":"x"}`, 400, "squadId names what does not exist"},
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

func TestVapiGreetsWithVariables(t *testing.T) {
	t.Parallel()
	v, c := startVapi(t, Options{}), startCarrier(t)
	assistant, number := v.desk(t, "Hello {{first_name}} of {{ Company }}{{missing}}, calling from {{customer.number}}.")
	cc := v.dial("Desk", sim.Header{Name: "X-First_NAME", Value: " Ada "}, sim.Header{Name: "x-company", Value: "ACME; Ltd"}, sim.Header{Name: "X-EI", Value: "S.1;"})
	cc.Heard = 110
	r := place(t, c, cc)
	if r.Status != 200 || r.EndedBy != sim.SideCaller || len(r.Provisional) != 2 || r.Provisional[1] != 180 {
		t.Fatalf("got %d %s %v, ended by %s", r.Status, r.Reason, r.Provisional, r.EndedBy)
	}
	got := v.last(t)
	const says = "Hello Ada of ACME; Ltd, calling from +15550100001."
	if got.Says != says || got.AssistantID != assistant || got.PhoneNumberID != number || got.EndedReason != endedByCaller || got.Asked != "" {
		t.Errorf("got %+v", got)
	}
	if got.Variables["first_name"] != "Ada" || got.Variables["ei"] != "S.1;" || got.CustomerNumber != "+15550100001" || got.CallID != r.SIPCallID {
		t.Errorf("got %+v", got)
	}
	if at, score := sim.Match(r.Heard, sim.Greeting(says)); score < 0.95 {
		t.Errorf("greeting: score %.2f at %v", score, at)
	}
	code, answer := v.request(t, http.MethodGet, "/call/"+got.ID, "")
	for _, words := range []string{`"endedReason":"customer-ended-call"`, `"first_name":"Ada"`, `"status":"ended"`, `"sbcCallId":"` + r.SIPCallID} {
		if code != 200 || !strings.Contains(answer, words) {
			t.Errorf("%d %s; want %s", code, answer, words)
		}
	}
}

func TestVapiFindsTheNumber(t *testing.T) {
	t.Parallel()
	v, c := startVapi(t, Options{Region: "eu"}), startCarrier(t)
	v.create(t, "/phone-number", `{"provider":"vapi","sipUri":"sip:bare@sip.eu.vapi.ai"}`)
	for _, tt := range []struct {
		to     string
		status int
		reason string
	}{
		{"sip:nobody@" + v.SIPAddr().String(), 404, "no phone number has this sipUri"},
		{"sip:bare@sip.vapi.ai", 404, "the host of the Request-URI is not"},
		{"sip:bare@192.0.2.1", 404, "the host of the Request-URI is not"},
		{"sip:bare@sip.eu.vapi.ai", 503, endedNoServer},
		{"sip:BARE@" + v.SIPAddr().String(), 503, endedNoServer},
	} {
		cc := v.dial("")
		cc.To, cc.Dest = tt.to, v.SIPAddr()
		if r := place(t, c, cc); r.Status != tt.status || !strings.HasPrefix(r.Reason, tt.reason) {
			t.Errorf("%s: %d %s", tt.to, r.Status, r.Reason)
		}
	}
}

func TestVapiAssistantIsGone(t *testing.T) {
	t.Parallel()
	v, c := startVapi(t, Options{}), startCarrier(t)
	assistant, _ := v.desk(t, "Hello")
	v.request(t, http.MethodDelete, "/assistant/"+assistant, "")
	if r := place(t, c, v.dial("desk")); r.Status != 503 || v.last(t).EndedReason != endedNotFound {
		t.Errorf("got %d, %s", r.Status, v.last(t).EndedReason)
	}
}

func TestVapiWaitsForTheCaller(t *testing.T) {
	t.Parallel()
	v, c := startVapi(t, Options{}), startCarrier(t)
	id := v.create(t, "/assistant", `{"firstMessage":"Hi","firstMessageMode":"assistant-waits-for-user"}`)
	v.create(t, "/phone-number", `{"provider":"vapi","sipUri":"sip:w@sip.vapi.ai","assistantId":"`+id+`"}`)
	if r := place(t, c, v.dial("w")); r.Status != 200 || v.last(t).Says != "" {
		t.Errorf("got %d, %q", r.Status, v.last(t).Says)
	}
}

func TestVapiChallenges(t *testing.T) {
	t.Parallel()
	for realm, want := range map[string]string{"": "sip.vapi.ai", "pbx.example": "pbx.example"} {
		v, c := startVapi(t, Options{}), startCarrier(t)
		id, _ := v.desk(t, "Hello")
		named := ""
		if realm != "" {
			named = `"realm":"` + realm + `",`
		}
		v.create(t, "/phone-number", `{"provider":"vapi","sipUri":"sip:locked@sip.vapi.ai","assistantId":"`+id+`","authentication":{`+named+`"username":"`+longUser+`","password":"`+longSecret+`"}}`)
		cc := v.dial("locked")
		r := place(t, c, cc)
		if r.Status != 401 || !strings.Contains(strings.Join(r.Headers, "\n"), `realm="`+want+`"`) {
			t.Errorf("got %d %v", r.Status, r.Headers)
		}
		cc.Username, cc.Password = longUser, "wrong"
		if r := place(t, c, cc); r.Status != 401 {
			t.Errorf("wrong password: %d", r.Status)
		}
		cc.Password = longSecret
		if r := place(t, c, cc); r.Status != 200 {
			t.Errorf("right password: %d", r.Status)
		}
		if r := place(t, c, v.dial("desk")); r.Status != 200 {
			t.Errorf("the other number: %d", r.Status)
		}
	}
}

func TestVapiFaults(t *testing.T) {
	t.Parallel()
	v, c := startVapi(t, Options{}), startCarrier(t)
	v.desk(t, "Hello")
	for _, tt := range []struct {
		fault sim.Fault
		code  int
		words string
	}{
		{sim.Fault{Kind: sim.Fault500}, 500, `"statusCode":500`},
		{sim.Fault{Kind: sim.Fault401}, 401, `"statusCode":401`},
		{sim.Fault{Kind: sim.FaultHTML}, 502, "<html>"},
		{sim.Fault{Kind: sim.FaultSlow, After: 50 * time.Millisecond}, 200, "["},
		{sim.Fault{Kind: sim.FaultBusy}, 200, "["},
	} {
		v.SetFault(tt.fault)
		start := time.Now()
		if code, answer := v.request(t, http.MethodGet, "/assistant", ""); code != tt.code || !strings.Contains(answer, tt.words) || time.Since(start) < tt.fault.After {
			t.Errorf("%s: %d %s", tt.fault.Kind, code, answer)
		}
	}
	if r := place(t, c, v.dial("desk")); r.Status != 486 {
		t.Errorf("busy: %d", r.Status)
	}
	v.SetFault(sim.Fault{Kind: sim.FaultStatus, Status: 480})
	if r := place(t, c, v.dial("desk")); r.Status != 480 {
		t.Errorf("status: %d", r.Status)
	}
	v.SetFault(sim.Fault{Kind: sim.FaultHangup, After: 50 * time.Millisecond})
	cc := v.dial("desk")
	cc.HangupBy = sim.SideAgent
	if r := place(t, c, cc); r.Status != 200 || r.EndedBy != sim.SideAgent {
		t.Errorf("hangup: %d, ended by %s", r.Status, r.EndedBy)
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
