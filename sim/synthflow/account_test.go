package synthflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

type accountAnswer struct {
	code   int
	header http.Header
	body   string
}

// at returns the value at a dotted path. Numbers in the path are list indexes.
func (a accountAnswer) at(t *testing.T, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	for key := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(in) {
				t.Fatalf("%s: no %s", a.body, path)
			}
			v = in[i]
		default:
			t.Fatalf("%s: no %s", a.body, path)
		}
	}
	return v
}

func accountCall(t *testing.T, s *Platform, method, path, body string, headers ...string) accountAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.APIURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token())
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return accountAnswer{res.StatusCode, res.Header, string(b)}
}

// Input that the documents do not allow is refused, and the error names the field.
func TestAccountIsStrict(t *testing.T) {
	numbers := []Number{{Number: "+15550100009"}}
	s := startPlatform(t, Options{Account: Account{Workspaces: []string{"w1"}, Numbers: numbers}})
	number := func(fields string) string { return `{"workspace_id":"w1","phone_number":"+15550100003"` + fields + `}` }
	agent := func(fields string) string { return `{"type":"inbound","name":"A","agent":{}` + fields + `}` }
	for _, tt := range []struct {
		method, path, body string
		code               int
		words              string
	}{
		{"POST", "/v2/custom-numbers", `{"phone_number":"+15550100003"}`, 422, `\"workspace_id\" is missing`},
		{"POST", "/v2/custom-numbers", `{"workspace_id":"w2","phone_number":"+15550100003"}`, 403, `workspace \"w2\" is not yours`},
		{"POST", "/v2/custom-numbers", `{"workspace_id":"w1","phone_number":"5550100003"}`, 400, "not E.164"},
		{"POST", "/v2/custom-numbers", `{"workspace_id":"w1","phone_number":15550100003}`, 422, `\"phone_number\" must be a string`},
		{"POST", "/v2/custom-numbers", number(`,"provider_name":"twilio"`), 400, `\"termination_uri\" is required`},
		{"POST", "/v2/custom-numbers", number(`,`), 400, "JSON"},
		{"GET", "/v2/custom-numbers", "", 405, "is not a method"},
		{"GET", "/v2/numbers", "", 422, `\"workspace\" is missing`},
		{"GET", "/v2/numbers?workspace=w1&limit=x", "", 422, "limit"},
		{"GET", "/v2/numbers/15550100009?workspace=w2", "", 403, "not yours"},
		{"GET", "/v2/numbers/+15550100009?workspace=w1", "", 404, `no number \"+15550100009\"`},
		{"POST", "/v2/assistants", `{"type":"inbound","name":"A"}`, 422, `\"agent\" is missing`},
		{"POST", "/v2/assistants", "", 415, "Content-Type"},
		{"POST", "/v2/assistants", agent(`,"phone_number":"+15550100003"`), 400, "import it before"},
		{"POST", "/v2/assistants", agent(`,"phone_number":"+15550100009"`), 400, "is linked to inbound agent"},
		{"GET", "/v2/assistants", "", 405, "is not a method"},
		{"PUT", "/v2/assistants/x", `{"name":"B"}`, 404, `no agent \"x\"`},
		{"GET", "/v2/calls/x", "", 404, `no call \"x\"`},
		{"GET", "/v2/agents", "", 404, "there is no /v2/agents"},
		{"POST", "/v2/prepare_inbound", strings.Replace(requestBody("+15550100009"), `"w"`, `"w2"`, 1), 403, "not yours"},
		{"POST", "/v2/prepare_inbound", strings.Replace(requestBody("+15550100009"), `"w"`, `"w1"`, 1), 404, `no agent \"m\"`},
	} {
		a := accountCall(t, s, tt.method, tt.path, tt.body)
		if a.code != tt.code || !strings.Contains(a.body, tt.words) {
			t.Errorf("%s %s %s: got %d %s; want %d and %s", tt.method, tt.path, tt.body, a.code, a.body, tt.code, tt.words)
			continue
		}
		for _, key := range []string{"status", "description", "request_id", "category"} {
			if text, _ := a.at(t, "detail."+key).(string); text == "" {
				t.Errorf("%s: no detail.%s", a.body, key)
			}
		}
	}
	if a := accountCall(t, s, "POST", "/v2/assistants", "{}", "Authorization", "Bearer x"); a.code != 401 {
		t.Errorf("wrong token: %d", a.code)
	}
	if a := accountCall(t, s, "POST", "/v2/assistants", "{}", "Content-Type", "text/plain"); a.code != 415 {
		t.Errorf("wrong type: %d", a.code)
	}
	if got := len(s.Numbers()); got != 1 {
		t.Errorf("%d numbers after all that", got)
	}
}

// Neither answers nor log lines contain a password or a token.
func TestAccountKeepsSecrets(t *testing.T) {
	var log bytes.Buffer
	s := startPlatform(t, Options{Token: faultToken, Log: zerolog.New(zerolog.SyncWriter(&log))})
	seen := accountCall(t, s, "POST", "/v2/custom-numbers", `{"workspace_id":"w","phone_number":"+15550100002","trunk_username":"u","trunk_pwd":"p4ss-w0rd"}`).body
	seen += accountCall(t, s, "GET", "/v2/numbers/15550100002?workspace=w", "").body
	seen += accountCall(t, s, "GET", "/v2/numbers?workspace=w", "").body + log.String()
	if strings.Contains(seen, "p4ss") || strings.Contains(seen, faultToken) || !strings.Contains(seen, "+15550100002") {
		t.Errorf("got %s", seen)
	}
}
