package vapi

import (
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// overSIP is an assistant-request in the form that Vapi sends for a call over SIP.
const overSIP = `{"message":{"timestamp":1787000000000,"type":"assistant-request",
 "call":{"id":"call-1","type":"inboundPhoneCall","status":"ringing","assistantId":null,"phoneNumberId":"num-1",
  "assistantOverrides":{"variableValues":{"cid":"abc@carrier","first_name":"Ada"}},
  "customer":{"number":"+15550100001","sipUri":"sip:+15550100001@192.0.2.1:5060"},
  "phoneCallProvider":"vapi","phoneCallTransport":"sip",
  "phoneCallProviderDetails":{"sbcCallId":"abc@carrier"},
  "transport":{"provider":"vapi.sip","sbcCallSid":"abc@carrier","callSid":"leg-1"}},
 "phoneNumber":{"id":"num-1","provider":"vapi","number":null,"sipUri":"sip:desk@sip.vapi.ai",
  "server":{"url":"https://example.com","headers":{"X-Api-Key":"not a SIP header"}}}}}`

func parse(t *testing.T, body string) Request {
	t.Helper()
	m, err := parseMessage([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return m.request()
}

func TestRequest(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       Request
	}{
		{"over SIP", overSIP, Request{
			CallID: "call-1", SIPCallID: "abc@carrier", PhoneNumberID: "num-1", CalledURI: "sip:desk@sip.vapi.ai",
			CustomerNumber: "+15550100001", CustomerURI: "sip:+15550100001@192.0.2.1:5060",
			Headers: map[string]string{"x-cid": "abc@carrier", "x-first_name": "Ada"},
		}},
		{"nothing but a type", `{"message":{"type":"assistant-request"}}`, Request{Headers: map[string]string{}}},
		{
			"wrong types are left out", `{"message":{"type":"assistant-request","call":{"id":7,"customer":"me","phoneNumberId":{}},"phoneNumber":[1]}}`,
			Request{CallID: "7", Headers: map[string]string{}},
		},
		{
			"customer beside the call", `{"message":{"type":"assistant-request","customer":{"number":"+1"},"phoneNumber":{"id":"n","number":"+2"}}}`,
			Request{CustomerNumber: "+1", CalledNumber: "+2", PhoneNumberID: "n", Headers: map[string]string{}},
		},
		{
			"transport names the SIP call", `{"message":{"type":"assistant-request","call":{"transport":{"sbcCallSid":"t"}}}}`,
			Request{SIPCallID: "t", Headers: map[string]string{}},
		},
		{
			"headers of SIP", `{"message":{"type":"assistant-request","call":{"phoneCallProviderDetails":{"sip":{"headers":{"Call-ID":"h","Diversion":"<sip:1@a>","X-A":"1","n":2,"o":{},"l":["x"]}}}}}}`,
			Request{SIPCallID: "h", Headers: map[string]string{"call-id": "h", "diversion": "<sip:1@a>", "x-a": "1", "n": "2"}},
		},
		{
			"a header counts more than a member, and that more than a variable",
			`{"message":{"type":"assistant-request","call":{"assistantOverrides":{"variableValues":{"A":"v","B":"v","c":"v"}},"deep":[{"x-a":"m","X-B":"m"}],"sipHeaders":{"X-A":"h"}}}}`,
			Request{Headers: map[string]string{"x-a": "h", "x-b": "m", "x-c": "v"}},
		},
		{
			"no SIP: what the account sends its servers",
			`{"message":{"type":"assistant-request","call":{"assistant":{"x-a":"1"},"server":{"headers":{"authorization":"s"}}},"phoneNumber":{"authentication":{"x-b":"2"}},"artifact":{"x-c":"3"}}}`,
			Request{Headers: map[string]string{}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parse(t, tt.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHeaderIgnoresCase(t *testing.T) {
	r := parse(t, overSIP)
	for _, name := range []string{"x-first_name", "X-First_Name", "X-FIRST_NAME"} {
		if got := r.Header(name); got != "Ada" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := r.Header("X-Other"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestRequestIsBounded(t *testing.T) {
	long := strings.Repeat("v", maxHeaderValue+1)
	var many strings.Builder
	for i := range maxHeaders + 50 {
		many.WriteString(`"x-` + strings.Repeat("n", 1+i%maxHeaderName) + string(rune('a'+i%26)) + `":"1",`)
	}
	r := parse(t, `{"message":{"type":"assistant-request","call":{"id":"`+long+`",`+many.String()+`"x-long":"`+long+`","x-`+long+`":"1"}}}`)
	if len(r.Headers) > maxHeaders || r.Header("x-long") != "" || r.CallID != "" {
		t.Errorf("%d headers, call id of %d", len(r.Headers), len(r.CallID))
	}
}

func TestMessageIsRefused(t *testing.T) {
	for body, words := range map[string]string{
		``:                              "not JSON",
		`{"message":`:                   "not JSON",
		`[]`:                            "want a JSON object",
		`{}`:                            `"message" is missing`,
		`{"message":null}`:              `"message" is missing`,
		`{"message":[]}`:                `"message" is a JSON array`,
		`{"message":{}}`:                `"message.type" is missing`,
		`{"message":{"type":3}}`:        `"message.type" is missing`,
		`{"message":{"type":"a"}} {}`:   "after the JSON object",
		`{"message":{"type":"a"}}}`:     "after the JSON object",
		strings.Repeat("[", maxDepth+1): "deep",
		strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200): "deep",
	} {
		if _, err := parseMessage([]byte(body)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.40s: %v; want %q", body, err, words)
		}
	}
	if _, err := parseMessage([]byte(`{"message":{"type":"` + strings.Repeat(`[\"`, 2*maxDepth) + `"}}`)); err != nil {
		t.Errorf("brackets in a string: %v", err)
	}
}

// TestDecodingIsCheap: decoding a message within the size limit takes memory in proportion
// to its size, wherever its values are.
func TestDecodingIsCheap(t *testing.T) {
	values := strings.Repeat("{},", maxRequest/3-100) + "{}"
	if _, err := parseMessage([]byte(`{"message":{"type":"a","call":[` + values + `]}}`)); err == nil || !strings.Contains(err.Error(), "20000 values") {
		t.Errorf("in the call: %v", err)
	}
	for name, body := range map[string]string{
		"as a reason":     `{"message":{"type":"end-of-call-report","endedReason":[` + values + `]}}`,
		"beside the call": `{"message":{"type":"a","transcript":[` + values + `]}}`,
		"in the call":     `{"message":{"type":"a","call":{"a":[` + values[:3*(maxValues/2-100)] + `{}]}}}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := parseMessage([]byte(body))
		if err != nil {
			t.Fatal(name, err)
		}
		m.request()
		runtime.ReadMemStats(&after)
		if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 8*maxRequest {
			t.Errorf("%s: %d bytes", name, bytes)
		}
	}
}

// FuzzRequest checks that any request is either refused with an error or read within the
// limits, with the same result each time.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		overSIP, `{"message":{"type":"assistant-request","call":{"x-a":"1","headers":{"b":"2"},"y":[{"sipHeaders":{"X-A":3}}]}}}`,
		`{"message":{"type":"status-update","status":"ended"}}`, `{"message":{"type":1e999}}`, `{"message":{"type":"a","call":"\ud800"}}`, `[[[[`, `{`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseMessage(body)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		r := m.request()
		if len(r.Headers) > maxHeaders {
			t.Errorf("%d headers", len(r.Headers))
		}
		for name, value := range r.Headers {
			if name == "" || len(name) > maxHeaderName+2 || len(value) > maxHeaderValue || r.Header(strings.ToUpper(name)) == "" && value != "" && strings.ToLower(strings.ToUpper(name)) == name {
				t.Errorf("header %q: %q", name, value)
			}
		}
		if diff := cmp.Diff(r, m.request()); diff != "" {
			t.Error(diff)
		}
	})
}
