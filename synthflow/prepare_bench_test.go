package synthflow

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flowbridge/internal/rest"
)

// encodedBy is a request's body as encoding/json writes it.
func encodedBy(t *testing.T, r InboundRequest) string {
	t.Helper()
	text := func(s string) string {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
	var custom []string
	for _, v := range r.CustomVariables {
		custom = append(custom, text(v.Name)+":"+text(v.Value))
	}
	return fmt.Sprintf(`{"from_number":%s,"to_number":%s,"model_id":%s,"workspace_id":%s,"custom_variables":{%s}}`,
		text(r.FromNumber), text(r.ToNumber), text(r.ModelID), text(r.WorkspaceID), strings.Join(custom, ","))
}

// FuzzBody: whatever a caller and the configuration say, the request is the JSON that encoding/json writes.
func FuzzBody(f *testing.F) {
	f.Add("+15075785607", "m", "name", "Ann <a&b>")
	f.Add("", "\x00\t\r\n\"\\/", "\u2028\u2029\u0085\x7f", "\xff\xed\xa0\x80😀")
	f.Fuzz(func(t *testing.T, number, model, name, value string) {
		r := InboundRequest{FromNumber: number, ToNumber: value, ModelID: model, WorkspaceID: name, CustomVariables: []Variable{{name, value}, {value, number}}}
		got, err := r.body()
		if want := encodedBy(t, r); err != nil || string(got) != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	})
}

// oneAnswer answers each request with another id, without a network.
type oneAnswer struct{ n int }

func (a *oneAnswer) RoundTrip(*http.Request) (*http.Response, error) {
	a.n++
	body := fmt.Sprintf(`{"call_status":"registered","synthflow_call_id":"a29407fb-1bf2-4be6-9d1d-%012d","workspace_id":null}`, a.n)
	return &http.Response{StatusCode: 200, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}, nil
}

var sampleRequest = InboundRequest{
	FromNumber: "+15550100001", ToNumber: "+15550100002", ModelID: "m", CustomVariables: []Variable{{"name", "Ann"}},
	IdempotencyKey: "0190a1b2c3d4", Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}

func BenchmarkPrepareInbound(b *testing.B) {
	prepare := func(b *testing.B, o rest.Options) {
		o.Token = testToken
		c, err := New(o, &GivenIDs{})
		if err != nil {
			b.Fatal(err)
		}
		defer c.CloseIdle()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.PrepareInbound(b.Context(), sampleRequest); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("without network", func(b *testing.B) {
		prepare(b, rest.Options{BaseURL: "http://127.0.0.1:1", Transport: &oneAnswer{}})
	})
	b.Run("over HTTP", func(b *testing.B) { // with the server's part
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
