package synthflow

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowbridge/sim"
)

func TestIDExpires(t *testing.T) {
	ids, now := newIDTable(time.Minute), time.Unix(1000, 0)
	ids.add("a", prepareRequest{To: "+1"}, now)
	if _, why := ids.use("a", "1", now.Add(61*time.Second)); !strings.Contains(why, "expired") {
		t.Errorf("got %q", why)
	}
	if _, why := ids.use("a", "1", now.Add(59*time.Second)); why != "" {
		t.Errorf("got %q", why)
	}
	ids.add("b", prepareRequest{To: "+1"}, now.Add(3*time.Minute))
	if len(ids.ids) != 1 {
		t.Errorf("got %d ids; want the old one gone", len(ids.ids))
	}
}

func TestAPI(t *testing.T) {
	s := startPlatform(t, Options{Token: "abc"})
	valid := requestBody(number)
	for _, tt := range []struct {
		name  string
		token string
		body  string
		code  int
		words string
	}{
		{"good", "abc", valid, 200, `"call_status":"registered"`},
		{"echo", "abc", valid, 200, `"custom_variables":{"n":1,"s":"x","b":true}`},
		{"long shape", "abc", valid, 200, `"timezone":null`},
		{"wrong token", "abd", valid, 401, "bearer"},
		{"no json", "abc", `{"from_number":"1",}`, 400, "JSON"},
		{"array", "abc", `[]`, 400, "not a JSON object"},
		{"unknown field", "abc", strings.Replace(valid, "model_id", "model", 1), 400, `unknown field \"model\"`},
		{"missing field", "abc", strings.Replace(valid, `"model_id":"m",`, "", 1), 400, `\"model_id\" is missing`},
		{"twice", "abc", strings.Replace(valid, `"model_id":"m"`, `"model_id":"m","model_id":"m"`, 1), 400, "there twice"},
		{"wrong type", "abc", strings.Replace(valid, `"m"`, `7`, 1), 400, `\"model_id\" must be a string`},
		{"null", "abc", strings.Replace(valid, `"m"`, `null`, 1), 400, `\"model_id\" must be a string`},
		{"nested variables", "abc", strings.Replace(valid, `"n":1`, `"n":{}`, 1), 400, `custom variable \"n\"`},
		{"variables as array", "abc", valid[:strings.Index(valid, `{"n"`)] + `[]}`, 400, "must be an object"},
		{"no to_number", "abc", requestBody(""), 400, "empty"},
		{"trailing", "abc", valid + "x", 400, "follows"},
		{"too large", "abc", strings.Repeat(" ", maxBody+1) + valid, 413, "too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := post(t, s, tt.token, tt.body)
			if code != tt.code || !strings.Contains(body, tt.words) {
				t.Errorf("got %d %s; want %d and %s", code, body, tt.code, tt.words)
			}
		})
	}
}

// With the agent for demonstrations alone any agent is prepared. Once there is another, only those of the account are.
func TestDemoAgent(t *testing.T) {
	s := startPlatform(t, Options{Account: Account{DemoAgent: "demo-agent"}})
	if got := accountCall(t, s, "GET", "/v2/assistants/demo-agent", ""); got.code != 200 || !strings.Contains(got.body, `"name":"Demo"`) {
		t.Errorf("got %d %s", got.code, got.body)
	}
	body := requestBody(number)
	demo := strings.Replace(body, `"m"`, `"demo-agent"`, 1)
	prepared := func(body string, want int) {
		t.Helper()
		if code, answer := post(t, s, s.Token(), body); code != want {
			t.Errorf("got %d %s; want %d", code, answer, want)
		}
	}
	prepared(body, 200)
	prepared(demo, 200)
	if got := accountCall(t, s, "POST", "/v2/assistants", `{"type":"outbound","name":"Caller","agent":{}}`); got.code != 200 {
		t.Fatalf("got %d %s", got.code, got.body)
	}
	prepared(body, 404)
	prepared(demo, 200)
}

func TestFaultsOfTheAPI(t *testing.T) {
	t.Parallel()
	s := startPlatform(t, Options{})
	for _, tt := range []struct {
		fault sim.Fault
		code  int
		words string
	}{
		{sim.Fault{Kind: sim.FaultFailed}, 200, `"call_status":"failed"`},
		{sim.Fault{Kind: sim.Fault500}, 500, "internal error"},
		{sim.Fault{Kind: sim.FaultMalformed}, 200, `"synthflow_call_id": `},
		{sim.Fault{Kind: sim.FaultSlow, After: 50 * time.Millisecond}, 200, `"registered"`},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			s.SetFault(tt.fault)
			start := time.Now()
			code, body := post(t, s, s.Token(), requestBody(number))
			if code != tt.code || !strings.Contains(body, tt.words) {
				t.Errorf("got %d %s", code, body)
			}
			if time.Since(start) < tt.fault.After {
				t.Errorf("answered after %v", time.Since(start))
			}
		})
	}
}

func TestAPIResetsConnection(t *testing.T) {
	t.Parallel()
	s := startPlatform(t, Options{Fault: sim.Fault{Kind: sim.FaultReset}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.APIURL()+"/v2/prepare_inbound", strings.NewReader(requestBody(number)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.Token())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatalf("got %s", resp.Status)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v; want a reset", err)
	}
}

// A request that hangs does not keep the platform from closing.
func TestCloseEndsWhatHangs(t *testing.T) {
	t.Parallel()
	p, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.SetFault(sim.Fault{Kind: sim.FaultHang})
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(p.APIURL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := requestBody(number)
	if _, err := fmt.Fprintf(conn, "POST /v2/prepare_inbound HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", p.Token(), len(body), body); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	_, _ = conn.Read(make([]byte, 1)) // returns: with an answer or without, nothing hangs any more
}
