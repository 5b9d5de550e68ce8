package vapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"flowbridge/platform/vapi"
	"flowbridge/sim"
)

// serve runs a handler of package vapi on a real socket.
func serve(t *testing.T, o vapi.HandlerOptions) string {
	t.Helper()
	o.Secret = longSecret
	h, err := vapi.NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// perCall creates a number without an assistant.
func (v *Platform) perCall(t *testing.T, url, more string) string {
	t.Helper()
	return v.create(t, "/phone-number", fmt.Sprintf(
		`{"provider":"vapi","sipUri":"sip:line@sip.vapi.ai","assistantId":null,"server":{"url":%q,"secret":%q}%s}`, url, longSecret, more))
}

// TestAssistantRequest lets package vapi answer the stand-in's requests with each kind of answer.
func TestAssistantRequest(t *testing.T) {
	t.Parallel()
	sip := json.RawMessage(`{"type":"sip","sipUri":"sip:desk@127.0.0.1:5999","message":"One moment","sipHeaders":{"X-Why":"a b","X-Also":"c"}}`)
	number := json.RawMessage(`{"type":"number","number":"+15550100099"}`)
	for _, tt := range []struct {
		name   string
		answer vapi.Answer
		err    error
		refers int // final status of a transfer; 0 if REFER is not accepted
		more   string

		status int
		by     sim.Side
		says   string
		refer  string // Refer-To
		ended  string
	}{
		{name: "assistant id", answer: vapi.Answer{AssistantID: "saved"}, status: 200, by: sim.SideCaller, says: "Hello Ada", ended: endedByCaller},
		{
			name:   "overrides",
			answer: vapi.Answer{AssistantID: "saved", Overrides: json.RawMessage(`{"variableValues":{"First_Name":"Grace"}}`)},
			status: 200, by: sim.SideCaller, says: "Hello Grace", ended: endedByCaller,
		},
		{
			name: "assistant", answer: vapi.Answer{Assistant: json.RawMessage(`{"firstMessage":"Good day, {{first_name}}"}`)},
			status: 200, by: sim.SideCaller, says: "Good day, Ada", ended: endedByCaller,
		},
		{name: "unknown assistant", answer: vapi.Answer{AssistantID: "nobody"}, status: 503, ended: endedNotFound},
		{name: "invalid assistant", answer: vapi.Answer{Assistant: json.RawMessage(`{"firstMessage":["x"]}`)}, status: 503, ended: endedInvalid},
		{name: "error", answer: vapi.Answer{Error: "We are closed"}, status: 200, by: sim.SideAgent, says: "We are closed", ended: endedError},
		{name: "fails", err: errors.New("no rule"), status: 200, by: sim.SideAgent, says: "Sorry, this call cannot be taken right now. Please try again later.", ended: endedError},
		{
			name: "sip", answer: vapi.Answer{Destination: sip}, refers: 200,
			status: 200, by: sim.SideAgent, says: "One moment", refer: "sip:desk@127.0.0.1:5999", ended: endedForwarded,
		},
		{
			name: "number", answer: vapi.Answer{Destination: number}, refers: 200,
			status: 200, by: sim.SideAgent, says: transferWords, refer: "sip:+15550100099@127.0.0.1", ended: endedForwarded,
		},
		{
			name: "transfer fails", answer: vapi.Answer{Destination: number}, refers: 486,
			status: 200, by: sim.SideAgent, says: transferWords, refer: "sip:+15550100099@127.0.0.1", ended: endedNotForwarded,
		},
		{
			name: "transfer is not taken", answer: vapi.Answer{Destination: number},
			status: 200, by: sim.SideAgent, says: transferWords, refer: "sip:+15550100099@127.0.0.1", ended: endedNotForwarded,
		},
		{
			name: "fallback", answer: vapi.Answer{AssistantID: "nobody"}, refers: 200, more: `,"fallbackDestination":{"type":"sip","sipUri":"sip:f@b","message":""}`,
			status: 200, by: sim.SideAgent, refer: "sip:f@b", ended: endedNotFound,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, c := startVapi(t, Options{Limit: time.Hour}), startCarrier(t)
			saved := v.create(t, "/assistant", `{"firstMessage":"Hello {{first_name}}"}`)
			var asked vapi.Request
			reported := make(chan string, 1)
			number := v.perCall(t, serve(t, vapi.HandlerOptions{
				Decide: func(_ context.Context, r vapi.Request) (vapi.Answer, error) {
					asked = r
					if tt.answer.AssistantID == "saved" {
						tt.answer.AssistantID = saved
					}
					return tt.answer, tt.err
				},
				Other: func(kind string, body []byte) error { reported <- kind + " " + string(body); return nil },
			}), tt.more)
			cc := v.dial("line", sim.Header{Name: "X-First_Name", Value: "Ada"})
			if tt.by == sim.SideAgent {
				cc.Hold = 0
			}
			referTo := ""
			if tt.refers != 0 {
				cc.OnRefer = func(to string) int {
					referTo = to
					return tt.refers
				}
			}
			r := place(t, c, cc)
			got := v.last(t)
			if r.Status != tt.status || r.EndedBy != tt.by || got.Says != tt.says || got.EndedReason != tt.ended {
				t.Errorf("%d %s, ended by %q, says %q, %s; want %d, %q, %q, %s", r.Status, r.Reason, r.EndedBy, got.Says, got.EndedReason, tt.status, tt.by, tt.says, tt.ended)
			}
			if got.ReferTo != tt.refer || tt.refers != 0 && (referTo != tt.refer || got.ReferResult != tt.refers) {
				t.Errorf("REFER to %q (%d, %d), taken to %q; want %q", got.ReferTo, got.ReferStatus, got.ReferResult, referTo, tt.refer)
			}
			if asked.CallID != got.ID || asked.SIPCallID != r.SIPCallID || asked.PhoneNumberID != number || asked.CalledURI != "sip:line@sip.vapi.ai" ||
				asked.CustomerNumber != "+15550100001" || asked.CustomerURI != got.CustomerURI || asked.Header("x-first_name") != "Ada" {
				t.Errorf("asked %+v", asked)
			}
			if report := <-reported; !strings.HasPrefix(report, "end-of-call-report") || !strings.Contains(report, `"endedReason":"`+tt.ended) {
				t.Errorf("reported %s", report)
			}
		})
	}
}

// TestServerFails checks that each fault of a server ends the call with a final status and the
// platform's reason.
func TestServerFails(t *testing.T) {
	t.Parallel()
	trickle := asking(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "{")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	for name, tt := range map[string]struct {
		serve  http.HandlerFunc
		answer string // part of the recorded answer
		ended  string
	}{
		"trickles":   {trickle, "within the time", endedFailed},
		"500":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "answered 500", endedFailed},
		"no JSON":    {says("hello"), "hello", endedFailed},
		"too large":  {says(strings.Repeat(" ", maxAnswer+1)), "more than", endedFailed},
		"nulls":      {says(`{"assistantId":null,"error":null}`), "null", endedNone},
		"id is 7":    {says(`{"assistantId":7}`), "7", endedInvalid},
		"mute error": {says(`{"error":""}`), "error", endedUnspeakable},
		"nowhere":    {says(`{"destination":{"type":"moon"}}`), "moon", endedInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(tt.serve)
			defer s.Close()
			limit := time.Hour
			if strings.Contains(tt.answer, "within") {
				limit = 300 * time.Millisecond
			}
			v := startVapi(t, Options{Limit: limit})
			c, seen := startTapped(t)
			v.perCall(t, s.URL, "")
			start := time.Now()
			r := place(t, c, v.dial("line"))
			got := v.last(t)
			if r.Status != 503 || got.EndedReason != tt.ended || !strings.Contains(got.Answer, tt.answer) || seen.String() != "100 180 503" {
				t.Errorf("%d %s, %s, %q, %s", r.Status, r.Reason, got.EndedReason, got.Answer, seen)
			}
			if took := time.Since(start); strings.Contains(tt.answer, "within") && took < v.opts.Limit {
				t.Errorf("after %v", took)
			}
		})
	}
}

// asking lets serve handle assistant-requests and accepts every other message. It reads the request
// first: a server notices only then that the client has left.
func asking(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"type":"assistant-request"`) {
			serve(w, r)
		}
	}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// TestHangingDecision checks that the caller hears an apology before the platform gives up waiting
// for a decision.
func TestHangingDecision(t *testing.T) {
	t.Parallel()
	if requestLimit != vapi.MaxTimeout {
		t.Fatalf("the platform waits for %v, and answers may take %v", requestLimit, vapi.MaxTimeout)
	}
	v, c := startVapi(t, Options{Limit: time.Hour}), startCarrier(t)
	v.perCall(t, serve(t, vapi.HandlerOptions{
		Timeout: 200 * time.Millisecond, Apology: "Nobody is here",
		Decide: func(ctx context.Context, _ vapi.Request) (vapi.Answer, error) {
			<-ctx.Done()
			return vapi.Answer{}, ctx.Err()
		},
	}), "")
	cc := v.dial("line")
	cc.Hold = 0
	r := place(t, c, cc)
	if got := v.last(t); r.Status != 200 || got.Says != "Nobody is here" || got.EndedReason != endedError {
		t.Errorf("%d, %q, %s", r.Status, got.Says, got.EndedReason)
	}
	if at, score := sim.Match(r.Heard, sim.Greeting("Nobody is here")); score < 0.95 {
		t.Errorf("the apology: score %.2f at %v", score, at)
	}
}

// TestNobodyWaits checks that the request ends if the caller hangs up or the stand-in closes.
func TestNobodyWaits(t *testing.T) {
	asked, let := make(chan struct{}, 2), make(chan struct{}, 2)
	s := httptest.NewServer(asking(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		let <- struct{}{}
	}))
	v, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := sim.StartCarrier(t.Context(), sim.CarrierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v.perCall(t, s.URL, "")
	cc := v.dial("line")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if r, _ := c.Call(ctx, cc); r.Status != 487 {
		t.Errorf("cancelled: %d %s", r.Status, r.Reason)
	}
	<-let
	if got := v.last(t); got.EndedReason != endedRinging {
		t.Errorf("ended: %s", got.EndedReason)
	}
	done := make(chan sim.CarrierResult, 1)
	go func() {
		r, _ := c.Call(t.Context(), cc)
		done <- r
	}()
	<-asked
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	<-let
	if r := <-done; r.Status != 503 {
		t.Errorf("closed: %d %s", r.Status, r.Reason)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	s.Close() // returns once no request is open
}
