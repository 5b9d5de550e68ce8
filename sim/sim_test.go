package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

const number = "+15075785607"

func startPlatform(t *testing.T, o SynthflowOptions) *Synthflow {
	t.Helper()
	s, err := StartSynthflow(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close platform: %v", err)
		}
	})
	return s
}

func startCarrier(t *testing.T) *Carrier {
	t.Helper()
	c, err := StartCarrier(context.Background(), CarrierOptions{})
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

func requestBody(to string) string {
	return fmt.Sprintf(`{"from_number":"+15550100001","to_number":%q,"model_id":"m","workspace_id":"w","custom_variables":{"n":1,"s":"x","b":true}}`, to)
}

// post sends a body to the API and returns status and answer.
func post(t *testing.T, s *Synthflow, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.APIURL()+apiPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var b bytes.Buffer
	if _, err := io.Copy(&b, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

func prepareCall(t *testing.T, s *Synthflow) string {
	t.Helper()
	code, body := post(t, s, s.Token(), requestBody(number))
	var a struct {
		Status string `json:"call_status"`
		ID     string `json:"synthflow_call_id"`
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || code != http.StatusOK || a.Status != "registered" || a.ID == "" {
		t.Fatalf("prepare: %d %s (%v)", code, body, err)
	}
	return a.ID
}

func target(s *Synthflow) string { return "sip:" + number + "@" + s.SIPAddr().String() }

func place(t *testing.T, c *Carrier, cc CarrierCall) CarrierResult {
	t.Helper()
	r, err := c.Call(t.Context(), cc)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func withXEI(s *Synthflow, xei string) CarrierCall {
	return CarrierCall{To: target(s), From: "+15550100001", Headers: []Header{{"X-EI", xei}}, Hold: 200 * time.Millisecond, Seed: 7}
}

func TestCallIsHeardOnBothEnds(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, SynthflowOptions{RingFor: 50 * time.Millisecond}), startCarrier(t)
	id := prepareCall(t, s)
	cc := withXEI(s, "S."+id+";")
	cc.Headers = append(cc.Headers, Header{"x-Customer-NAME", "  Ada;x "}, Header{"P-Asserted-Identity", "<sip:+15550100001@carrier>"})
	cc.DisplayName, cc.Digits = "Ada", "1#"
	cc.Hold = 3500 * time.Millisecond
	answered := ""
	cc.OnAnswer = func(callID string) { answered = callID }
	r := place(t, c, cc)
	if r.Status != 200 || r.EndedBy != SideCaller || r.ByeStatus != 200 || answered != r.SIPCallID {
		t.Fatalf("got %d %s, ended by %s, bye %d, OnAnswer %q", r.Status, r.Reason, r.EndedBy, r.ByeStatus, answered)
	}
	if r.TryingAt.IsZero() || r.RingingAt.IsZero() || r.PostDialDelay <= 0 || r.RTP.FirstAt.IsZero() {
		t.Errorf("times missing: %+v", r)
	}
	if at, score := Match(r.Heard, Greeting(id)); score < 0.95 {
		t.Errorf("greeting: score %.2f at %v", score, at)
	}
	if at, score := Match(r.Heard, Words(7)[3*sampleRate/2:5*sampleRate/2]); score < 0.9 || at < greetingLength-100*time.Millisecond {
		t.Errorf("echo: score %.2f at %v; want it after the greeting", score, at)
	}
	a := ended(t, s, id)
	if _, score := Match(a.Heard, Words(7)[sampleRate:3*sampleRate]); score < 0.95 {
		t.Errorf("words: score %.2f", score)
	}
	if want := "X-EI: S." + id + ";"; a.XEI != want {
		t.Errorf("got %q; want %q", a.XEI, want)
	}
	if len(a.Headers) != 2 || a.Headers[1] != "x-Customer-NAME:   Ada;x " {
		t.Errorf("headers as received: %q", a.Headers)
	}
	if a.Digits != "1#" || !strings.HasPrefix(a.Raw, "INVITE sip:"+number) || !strings.HasSuffix(a.Raw, "a=sendrecv\r\n") {
		t.Errorf("digits %q, raw %q", a.Digits, a.Raw)
	}
	if a.Status != 200 || a.EndedBy != SideCaller || !a.AckReceived || a.PAI == "" || a.CallID != r.SIPCallID || a.MaxForwards != 70 {
		t.Errorf("got %+v", a)
	}
	if a.RTP.Lost+r.RTP.Lost > 0 || a.RTP.Received < 150 || r.RTP.Received < 150 {
		t.Errorf("rtp: agent %+v, carrier %+v", a.RTP, r.RTP)
	}
	if d := oneWayDelays(r.SentMarks, a.HeardMarks); d.Packets < 150 || d.P50 <= 0 || d.P99 > time.Second {
		t.Errorf("delays: %+v", d)
	}
}

func ended(t *testing.T, s *Synthflow, id string) AgentCall {
	t.Helper()
	a, err := s.waitFor(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// settled waits until no more goroutines run than before.
func settled(before int) bool {
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			return false
		}
		runtime.Gosched()
	}
	return true
}
