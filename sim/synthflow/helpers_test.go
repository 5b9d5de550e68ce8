package synthflow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"flowbridge/sim"
)

const number = "+15075785607"

func startPlatform(t *testing.T, o Options) *Platform {
	t.Helper()
	p, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close platform: %v", err)
		}
	})
	return p
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

func requestBody(to string) string {
	return fmt.Sprintf(`{"from_number":"+15550100001","to_number":%q,"model_id":"m","workspace_id":"w","custom_variables":{"n":1,"s":"x","b":true}}`, to)
}

// post sends a body to prepare_inbound and returns the status and the answer.
func post(t *testing.T, p *Platform, token, body string) (int, string) {
	t.Helper()
	a := accountCall(t, p, http.MethodPost, "/v2/prepare_inbound", body, "Authorization", "Bearer "+token)
	return a.code, a.body
}

func prepareCall(t *testing.T, p *Platform) string {
	t.Helper()
	code, body := post(t, p, p.Token(), requestBody(number))
	var a struct {
		Status string `json:"call_status"`
		ID     string `json:"synthflow_call_id"`
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || code != http.StatusOK || a.Status != "registered" || a.ID == "" {
		t.Fatalf("prepare: %d %s (%v)", code, body, err)
	}
	return a.ID
}

func target(p *Platform) string { return "sip:" + number + "@" + p.SIPAddr().String() }

func withXEI(p *Platform, xei string) sim.CarrierCall {
	return sim.CarrierCall{To: target(p), From: "+15550100001", Headers: []sim.Header{{Name: "X-EI", Value: xei}}, Hold: 1, Seed: 7}
}

// until waits until there returns true. If that never happens, the test's timeout shows the waiting
// line.
func until(there func() bool) {
	for !there() {
		<-time.After(time.Millisecond)
	}
}
