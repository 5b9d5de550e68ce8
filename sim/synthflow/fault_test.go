package synthflow

import (
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"flowbridge/internal/rest"
	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
	"flowbridge/synthflow"
)

const faultToken = "token-that-nobody-sees"

// ample is a time that no answer on loopback takes, on whatever machine.
const ample = 5 * time.Minute

// prepareOnce runs the product's step against the stand-in.
func prepareOnce(t *testing.T, s *Platform, call string, timeout time.Duration) (synthflow.PreparedCall, error) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return stepOf(t, s, transport, timeout).PrepareInbound(t.Context(), inbound(call))
}

func stepOf(t *testing.T, s *Platform, transport *http.Transport, timeout time.Duration) *synthflow.Client {
	t.Helper()
	c, err := synthflow.New(rest.Options{BaseURL: s.APIURL(), Token: s.Token(), Timeout: timeout, Transport: transport}, &synthflow.GivenIDs{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func inbound(call string) synthflow.InboundRequest {
	return synthflow.InboundRequest{FromNumber: "+15550100001", ToNumber: number, ModelID: "m", WorkspaceID: "w", IdempotencyKey: call}
}

// Whatever the API answers, the step ends with the Kind that says why, and the
// token is in no error.
func TestPrepareAgainstEachFault(t *testing.T) {
	s := startPlatform(t, Options{Token: faultToken})
	for fault, want := range map[string]struct {
		kind   synthflow.Kind
		status int
		sent   int
		detail string
	}{
		"":         {"", 200, 1, ""},
		"slow:1h":  {synthflow.KindTimeout, 0, 1, ""},
		"hang":     {synthflow.KindTimeout, 0, 1, ""},
		"reset":    {synthflow.KindConnect, 0, 2, ""},
		"500":      {synthflow.KindHTTPStatus, 500, 2, "internal error"},
		"401":      {synthflow.KindHTTPStatus, 401, 1, "the key is not known"},
		"403":      {synthflow.KindHTTPStatus, 403, 1, "not enabled"},
		"429":      {synthflow.KindRateLimited, 429, 2, "too many requests"},
		"429:1h":   {synthflow.KindRateLimited, 429, 1, "too many requests"},
		"redirect": {synthflow.KindHTTPStatus, 307, 1, "redirect not followed"},
		"html":     {synthflow.KindHTTPStatus, 502, 2, ""},
		"html:200": {synthflow.KindMalformed, 200, 1, ""},
		"gzipbomb": {synthflow.KindTooLarge, 200, 1, "answer over"},
		"huge":     {synthflow.KindTooLarge, 200, 1, "answer over"},
		"echo":     {synthflow.KindHTTPStatus, 400, 1, "bad header Authorization: Bearer [redacted]"},
		// 200, and not what it says.
		"malformed": {synthflow.KindMalformed, 200, 1, ""},
		"failed":    {synthflow.KindCallFailed, 200, 1, "call_status failed: service outage"},
		"types":     {synthflow.KindMalformed, 200, 1, ""},
		"crlf":      {synthflow.KindBadID, 200, 1, "id with byte 0x0d at 36"},
		"emptyid":   {synthflow.KindMissingID, 200, 1, ""},
	} {
		t.Run(fault, func(t *testing.T) {
			f, err := sim.ParseFault(fault)
			if err != nil {
				t.Fatal(err)
			}
			s.SetFault(f)
			timeout := ample
			if want.kind == synthflow.KindTimeout {
				timeout = 500 * time.Millisecond
			}
			p, err := prepareOnce(t, s, "call-"+fault, timeout)
			if kindOf(err) != want.kind || p.Status != want.status || p.Attempts != want.sent || (p.CallID == "") == (err == nil) {
				t.Fatalf("got %v, %d requests, status %d, id %q; want kind %q, %d, %d", err, p.Attempts, p.Status, p.CallID, want.kind, want.sent, want.status)
			}
			if len(p.Body) > 1<<20 {
				t.Errorf("a body of %d bytes is kept", len(p.Body))
			}
			if err != nil && (strings.Contains(err.Error(), faultToken) || !strings.Contains(err.Error(), want.detail)) {
				t.Errorf("got %q; want %q and no token", err, want.detail)
			}
		})
	}
}

// An id that was given before is good for the call that has it, and for no
// other one: the API has given others, too, so it is no stub.
func TestPrepareAgainstReusedIDs(t *testing.T) {
	s := startPlatform(t, Options{})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := stepOf(t, s, transport, ample)
	first, err := c.PrepareInbound(t.Context(), inbound("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.PrepareInbound(t.Context(), inbound("zero")); err != nil {
		t.Fatal(err)
	}
	s.SetFault(sim.Fault{Kind: sim.FaultReused})
	if again, err := c.PrepareInbound(t.Context(), inbound("one")); err != nil || again.CallID != first.CallID {
		t.Errorf("the same call: %v, %v", again, err)
	}
	other, err := c.PrepareInbound(t.Context(), inbound("two"))
	if kindOf(err) != synthflow.KindReusedID || other.CallID != "" {
		t.Errorf("another call: %v, %v", other, err)
	}
	s.SetFault(sim.Fault{})
	if _, err := c.PrepareInbound(t.Context(), inbound("two")); err != nil {
		t.Errorf("once it behaves: %v", err)
	}
}

// What grows to 128 MiB on the way, or is 10 MiB already, costs a few.
func TestLargeAnswersCostLittle(t *testing.T) {
	s := startPlatform(t, Options{})
	_ = standin.Bomb() // made once, and not by the client
	for _, kind := range []sim.FaultKind{sim.FaultGzipBomb, sim.FaultHuge} {
		s.SetFault(sim.Fault{Kind: kind})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := prepareOnce(t, s, "x", ample); kindOf(err) != synthflow.KindTooLarge {
			t.Errorf("%s: got %v", kind, err)
		}
		runtime.ReadMemStats(&after)
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 16<<20 {
			t.Errorf("%s: %d bytes were allocated", kind, cost)
		}
	}
}

// The account's API lies the same way.
func TestAccountAgainstEachFault(t *testing.T) {
	s := startPlatform(t, Options{Token: faultToken})
	n := 0
	for _, tt := range []struct {
		fault string
		code  int
		words string
	}{
		{"500", 500, "internal error"},
		{"401", 401, "key is not known"},
		{"403", 403, "not enabled"},
		{"429:30s", 429, "too many"},
		{"redirect", 307, ""},
		{"html:200", 200, "<html>"},
		{"echo", 400, faultToken},
		{"malformed", 200, `{"call_status"`},
		{"huge", 200, "la la la"},
		{"failed", 200, `{"response":null,"status":"failed"}`},
		{"types", 200, `"model_id":4711`},
		{"emptyid", 200, `"model_id":""`},
		{"crlf", 200, `\r\nX-Injected: yes"`},
	} {
		f, err := sim.ParseFault(tt.fault)
		if err != nil {
			t.Fatal(err)
		}
		s.SetFault(f)
		n++
		res := accountCall(t, s, "POST", "/v2/assistants", `{"type":"inbound","name":"A","agent":{}}`)
		if res.code != tt.code || !strings.Contains(res.body, tt.words) {
			t.Errorf("%s: got %d %.200s; want %d and %q", tt.fault, res.code, res.body, tt.code, tt.words)
		}
		if retry := res.header.Get("Retry-After"); (tt.code == 429) != (retry == "30") {
			t.Errorf("%s: Retry-After %q", tt.fault, retry)
		}
	}
	s.SetFault(sim.Fault{Kind: sim.FaultReused})
	one := accountCall(t, s, "POST", "/v2/assistants", `{"type":"inbound","name":"A","agent":{}}`)
	two := accountCall(t, s, "POST", "/v2/assistants", `{"type":"inbound","name":"B","agent":{}}`)
	if one.body != two.body {
		t.Errorf("got %s and %s", one.body, two.body)
	}
}

// kindOf is the kind of an error of the step, or "".
func kindOf(err error) synthflow.Kind {
	if e, ok := errors.AsType[*synthflow.Error](err); ok {
		return e.Kind
	}
	return ""
}
