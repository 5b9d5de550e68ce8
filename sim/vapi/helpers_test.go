package vapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/sim"
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

// request sends a body to the API and returns the status and the answer.
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

// create creates an object and returns its id.
func (v *Platform) create(t *testing.T, path, body string) string {
	t.Helper()
	code, answer := v.request(t, http.MethodPost, path, body)
	var o struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &o); err != nil || code != http.StatusCreated || o.ID == "" {
		t.Fatalf("POST %s %s: %d %s", path, body, code, answer)
	}
	return o.ID
}

// desk creates a number with an assistant that says words.
func (v *Platform) desk(t *testing.T, words string) (assistant, number string) {
	t.Helper()
	assistant = v.create(t, "/assistant", fmt.Sprintf(`{"name":"Desk","firstMessage":%q}`, words))
	return assistant, v.create(t, "/phone-number", fmt.Sprintf(`{"provider":"vapi","sipUri":"sip:desk@sip.vapi.ai","assistantId":%q}`, assistant))
}

func (v *Platform) dial(user string, headers ...sim.Header) sim.CarrierCall {
	return sim.CarrierCall{To: "sip:" + user + "@" + v.SIPAddr().String(), From: "+15550100001", Headers: headers, Hold: 100 * time.Millisecond, Seed: 7}
}

// last waits until the only call so far is over and returns it.
func (v *Platform) last(t *testing.T) Call {
	t.Helper()
	list := v.All()
	if len(list) != 1 {
		t.Fatalf("%d calls", len(list))
	}
	<-list[0].In.Ended()
	return v.Calls()[0]
}

// responses collects the statuses of responses to INVITEs in their order on the wire. A carrier may
// process two of them in the opposite order.
type responses struct {
	mu    sync.Mutex
	codes []string
}

func (r *responses) tap(d sim.Datagram) {
	rest, ok := strings.CutPrefix(string(d.Data), "SIP/2.0 ")
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok && d.Received && strings.Contains(rest, " INVITE\r\n") && !slices.Contains(r.codes, rest[:3]) {
		r.codes = append(r.codes, rest[:3])
	}
}

// String lists the statuses without repetitions.
func (r *responses) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.codes, " ")
}

func startCarrier(t *testing.T) *sim.Carrier {
	t.Helper()
	c, _ := startTapped(t)
	return c
}

func startTapped(t *testing.T) (*sim.Carrier, *responses) {
	t.Helper()
	var r responses
	c, err := sim.StartCarrier(context.Background(), sim.CarrierOptions{Tap: r.tap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close carrier: %v", err)
		}
	})
	return c, &r
}

func place(t *testing.T, c *sim.Carrier, cc sim.CarrierCall) sim.CarrierResult {
	t.Helper()
	r, err := c.Call(t.Context(), cc)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
