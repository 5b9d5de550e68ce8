package synthflow

import (
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/prepare"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/rest"
	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

const faultToken = "token-that-nobody-sees"

// ample is longer than any answer on loopback takes, even on a slow machine.
const ample = 5 * time.Minute

// prepareOnce runs the product's prepare step for a kind of target against the stand-in.
func prepareOnce(t *testing.T, kind string, s *Platform, call string, timeout time.Duration) (prepare.Prepared, error) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return stepOf(t, s, transport, timeout).Prepare(t.Context(), inbound(t, kind, s, call))
}

func stepOf(t *testing.T, s *Platform, transport *http.Transport, timeout time.Duration) *prepare.Client {
	t.Helper()
	c, err := prepare.New(rest.Options{BaseURL: s.APIURL(), Token: s.Token(), Timeout: timeout, Transport: transport}, &prepare.GivenIDs{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// steps holds the same step twice: as kind synthflow and as a generic description in a file.
var steps = map[string]string{
	config.KindSynthflow: `{api: "URL", token_env: T, model_id: m, workspace_id: w}`,
	config.KindHTTP: `{url: "URL/v2/prepare_inbound", token_env: T, id: synthflow_call_id, success: {json: {call_status: registered}},
      body: {from_number: "{{.From.Number}}", to_number: "{{.To.Number}}", model_id: m, workspace_id: w, custom_variables: {}}}`,
}

func inbound(t *testing.T, kind string, s *Platform, call string) prepare.Request {
	t.Helper()
	cfg, err := config.Parse("t.yaml", []byte("targets:\n  - {name: t, kind: "+kind+", uri: \"sip:x@192.0.2.1\", prepare: "+
		strings.ReplaceAll(steps[kind], "URL", s.APIURL())+"}\n"), func(string) (string, bool) { return s.Token(), true })
	if err != nil {
		t.Fatal(err)
	}
	ask, err := cfg.Targets[0].Prepare.Ask(template.Vars{From: template.Party{Number: "+15550100001"}, To: template.Party{Number: number}})
	if err != nil {
		t.Fatal(err)
	}
	return prepare.Request{Ask: ask, IdempotencyKey: call}
}

// Whatever the API answers, the step ends with the matching Kind, and no error contains the token.
func TestPrepareAgainstEachFault(t *testing.T) {
	s := startPlatform(t, Options{Token: faultToken})
	for fault, want := range map[string]struct {
		kind   prepare.Kind
		status int
		sent   int
		detail string
	}{
		"":         {"", 200, 1, ""},
		"slow:1h":  {prepare.KindTimeout, 0, 1, ""},
		"hang":     {prepare.KindTimeout, 0, 1, ""},
		"reset":    {prepare.KindConnect, 0, 2, ""},
		"500":      {prepare.KindHTTPStatus, 500, 2, "internal error"},
		"401":      {prepare.KindHTTPStatus, 401, 1, "the key is not known"},
		"403":      {prepare.KindHTTPStatus, 403, 1, "not enabled"},
		"429":      {prepare.KindRateLimited, 429, 2, "too many requests"},
		"429:1h":   {prepare.KindRateLimited, 429, 1, "too many requests"},
		"redirect": {prepare.KindHTTPStatus, 307, 1, "redirect not followed"},
		"html":     {prepare.KindHTTPStatus, 502, 2, ""},
		"html:200": {prepare.KindMalformed, 200, 1, ""},
		"gzipbomb": {prepare.KindTooLarge, 200, 1, "answer over"},
		"huge":     {prepare.KindTooLarge, 200, 1, "answer over"},
		"echo":     {prepare.KindHTTPStatus, 400, 1, "bad header Authorization: Bearer [redacted]"},
		// Status 200 with a malformed body.
		"malformed": {prepare.KindMalformed, 200, 1, ""},
		"failed":    {prepare.KindCallFailed, 200, 1, "call_status failed: service outage"},
		"types":     {prepare.KindMalformed, 200, 1, ""},
		"crlf":      {prepare.KindBadID, 200, 1, "id with byte 0x0d at 36"},
		"emptyid":   {prepare.KindMissingID, 200, 1, ""},
	} {
		for kind := range steps {
			t.Run(fault+" "+kind, func(t *testing.T) {
				f, err := sim.ParseFault(fault)
				if err != nil {
					t.Fatal(err)
				}
				s.SetFault(f)
				timeout := ample
				if want.kind == prepare.KindTimeout {
					timeout = 500 * time.Millisecond
				}
				p, err := prepareOnce(t, kind, s, "call-"+kind+fault, timeout)
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
}

// A reused id is accepted for the call that it belongs to and refused for any other call. The API
// has also returned other ids, so it is not a stub.
func TestPrepareAgainstReusedIDs(t *testing.T) {
	s := startPlatform(t, Options{})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := stepOf(t, s, transport, ample)
	first, err := c.Prepare(t.Context(), inbound(t, config.KindSynthflow, s, "one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prepare(t.Context(), inbound(t, config.KindSynthflow, s, "zero")); err != nil {
		t.Fatal(err)
	}
	s.SetFault(sim.Fault{Kind: sim.FaultReused})
	if again, err := c.Prepare(t.Context(), inbound(t, config.KindSynthflow, s, "one")); err != nil || again.CallID != first.CallID {
		t.Errorf("the same call: %v, %v", again, err)
	}
	other, err := c.Prepare(t.Context(), inbound(t, config.KindSynthflow, s, "two"))
	if kindOf(err) != prepare.KindReusedID || other.CallID != "" {
		t.Errorf("another call: %v, %v", other, err)
	}
	s.SetFault(sim.Fault{})
	if _, err := c.Prepare(t.Context(), inbound(t, config.KindSynthflow, s, "two")); err != nil {
		t.Errorf("once it behaves: %v", err)
	}
}

// An answer that expands to 128 MiB, or that is 10 MiB long, makes the client allocate 16 MiB at
// most.
func TestLargeAnswersCostLittle(t *testing.T) {
	s := startPlatform(t, Options{})
	_ = standin.Bomb() // build it now, so that the client's memory does not include it
	for _, kind := range []sim.FaultKind{sim.FaultGzipBomb, sim.FaultHuge} {
		s.SetFault(sim.Fault{Kind: kind})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := prepareOnce(t, config.KindHTTP, s, "x", ample); kindOf(err) != prepare.KindTooLarge {
			t.Errorf("%s: got %v", kind, err)
		}
		runtime.ReadMemStats(&after)
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 16<<20 {
			t.Errorf("%s: %d bytes were allocated", kind, cost)
		}
	}
}

// kindOf returns the kind of a step's error, or "" if it has none.
func kindOf(err error) prepare.Kind {
	if e, ok := errors.AsType[*prepare.Error](err); ok {
		return e.Kind
	}
	return ""
}
