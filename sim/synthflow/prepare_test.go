package synthflow

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

func TestIDExpires(t *testing.T) {
	var ids standin.IDs[string]
	now := time.Unix(1000, 0)
	ids.Add("a", "of a", now, time.Minute)
	if _, why := ids.Use("a", now.Add(60*time.Second)); why != "has expired" {
		t.Errorf("got %q", why)
	}
	if about, why := ids.Use("a", now.Add(59*time.Second)); why != "" || about != "of a" {
		t.Errorf("got %q, %q", about, why)
	}
	ids.Add("b", "of b", now.Add(3*time.Minute), time.Minute)
	if _, _, known := ids.Find("a"); known {
		t.Error("the old one is still there")
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
		{"what was asked", "abc", valid, 200, `"model_id":"m"`},
		{"wrong token", "abd", valid, 401, "token"},
		{"array", "abc", `[]`, 400, "not a JSON object"},
		{"unknown field", "abc", strings.Replace(valid, "model_id", "model", 1), 400, `unknown field \"model\"`},
		{"missing field", "abc", strings.Replace(valid, `"model_id":"m",`, "", 1), 400, `\"model_id\" is missing`},
		{"twice", "abc", strings.Replace(valid, `"model_id":"m"`, `"model_id":"m","model_id":"m"`, 1), 400, "there twice"},
		{"wrong type", "abc", strings.Replace(valid, `"m"`, `7`, 1), 400, `\"model_id\" must be a string`},
		{"nested variables", "abc", strings.Replace(valid, `"n":1`, `"n":{}`, 1), 400, `custom variable \"n\"`},
		{"no to_number", "abc", requestBody(""), 400, "1 to 200"},
		{"too large", "abc", strings.Repeat(" ", 256<<10) + valid, 413, "too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := post(t, s, tt.token, tt.body)
			if code != tt.code || !strings.Contains(body, tt.words) {
				t.Errorf("got %d %s; want %d and %s", code, body, tt.code, tt.words)
			}
		})
	}
}

// While the account has only the demo agent, any agent can be prepared. Once it has another agent, only the account's
// agents can.
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

// A request that hangs does not prevent the platform from closing.
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
	_, _ = conn.Read(make([]byte, 1)) // returns with or without an answer once no request hangs
}
