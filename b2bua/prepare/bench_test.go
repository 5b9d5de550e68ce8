package prepare

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/rest"
)

// oneAnswer answers each request with a new id, without a network.
type oneAnswer struct{ n int }

func (a *oneAnswer) RoundTrip(*http.Request) (*http.Response, error) {
	a.n++
	body := fmt.Sprintf(`{"call_status":"registered","synthflow_call_id":"a29407fb-1bf2-4be6-9d1d-%012d","workspace_id":null}`, a.n)
	return &http.Response{StatusCode: 200, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}, nil
}

// sampleVars are the variables of a call.
var sampleVars = template.Vars{From: template.Party{Number: "+15550100001"}, To: template.Party{Number: "+15550100002"}, CallID: "0190a1b2c3d4"}

// targetOf returns a target with a prepare step at an API.
func targetOf(t testing.TB, api string) *config.Target {
	t.Helper()
	cfg, err := config.Parse("t.yaml", []byte(`targets: [{name: t, kind: synthflow, prepare: {api: "`+api+`", token_env: T, model_id: m, custom_variables: {name: Ann}}}]`),
		func(string) (string, bool) { return testToken, true })
	must(t, err)
	return &cfg.Targets[0]
}

// once runs one call's prepare step, from the configuration to the id.
func once(t testing.TB, c *Client, of *config.Target) {
	ask, err := of.Prepare.Ask(sampleVars)
	must(t, err)
	if _, err := c.Prepare(t.Context(), Request{Ask: ask, IdempotencyKey: sampleVars.CallID, Traceparent: traceparent}); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkPrepare(b *testing.B) {
	prepare := func(b *testing.B, o rest.Options) {
		o.Token = testToken
		c, err := New(o, &GivenIDs{})
		must(b, err)
		defer c.CloseIdle()
		of := targetOf(b, o.BaseURL)
		b.ReportAllocs()
		for b.Loop() {
			once(b, c, of)
		}
	}
	b.Run("without network", func(b *testing.B) {
		prepare(b, rest.Options{BaseURL: "http://127.0.0.1:1", Transport: &oneAnswer{}})
	})
	b.Run("over HTTP", func(b *testing.B) { // includes the server's CPU time
		api := oneAnswer{}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			res, _ := api.RoundTrip(nil)
			_, _ = io.Copy(w, res.Body)
		}))
		defer s.Close()
		prepare(b, rest.Options{BaseURL: s.URL})
	})
}
