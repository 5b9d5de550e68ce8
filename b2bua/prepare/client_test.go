package prepare

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/rest"
)

const (
	testToken = "secret-token-4711"
	givenID   = "a29407fb-1bf2-4be6-9d1d-f501c3dd9a2b"
)

func good() string {
	return fmt.Sprintf(`{"call_status":"registered","synthflow_call_id":%q,"workspace_id":null}`, givenID)
}

// fakeAPI is an API that answers without a network, so that it works with fake time.
type fakeAPI func(n int, r *http.Request) (*http.Response, error)

type countingAPI struct {
	calls atomic.Int64
	api   fakeAPI
}

func (c *countingAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	return c.api(int(c.calls.Add(1)), r)
}

func answerWith(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// askOf returns the request for a target of this kind, for a call without numbers.
func askOf(t testing.TB, kind, api string) config.Ask {
	t.Helper()
	section := map[string]string{
		config.KindSynthflow: `{api: "` + api + `", token_env: T, model_id: m}`,
		config.KindHTTP: `{url: "` + api + `/v2/calls", token_env: T, body: {to: "{{.To.Number}}"}, ` +
			`success: {json: {call_status: registered}}, id: synthflow_call_id}`,
	}[kind]
	text := "targets: [{name: t, kind: " + kind + `, uri: "sip:x@192.0.2.1", prepare: ` + section + "}]"
	cfg, err := config.Parse("t.yaml", []byte(text), func(string) (string, bool) { return testToken, true })
	must(t, err)
	ask, err := cfg.Targets[0].Prepare.Ask(template.Vars{})
	must(t, err)
	return ask
}

// asker is a client together with its request.
type asker struct {
	*Client
	ask config.Ask
}

func (c asker) prepare(ctx context.Context, call string) (Prepared, error) {
	return c.Prepare(ctx, Request{Ask: c.ask, IdempotencyKey: call})
}

func newClient(t testing.TB, o rest.Options) asker {
	t.Helper()
	return newClientOf(t, config.KindSynthflow, o)
}

func newClientOf(t testing.TB, kind string, o rest.Options) asker {
	t.Helper()
	if o.BaseURL == "" {
		o.BaseURL = "http://127.0.0.1:1"
	}
	o.Token = testToken
	c, err := New(o, &GivenIDs{})
	must(t, err)
	t.Cleanup(c.CloseIdle)
	return asker{c, askOf(t, kind, o.BaseURL)}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]rest.Options{
		"no url":         {Token: "t"},
		"no scheme":      {BaseURL: "api.synthflow.ai", Token: "t"},
		"other scheme":   {BaseURL: "ftp://api.synthflow.ai", Token: "t"},
		"no host":        {BaseURL: "https:///v2", Token: "t"},
		"userinfo":       {BaseURL: "https://u:p4ss@api.synthflow.ai", Token: "t"},
		"query":          {BaseURL: "https://api.synthflow.ai?x=1", Token: "t"},
		"no token":       {BaseURL: "https://api.synthflow.ai"},
		"token with eol": {BaseURL: "https://api.synthflow.ai", Token: "tok\n"},
		"timeout":        {BaseURL: "https://api.synthflow.ai", Token: "t", Timeout: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(o, &GivenIDs{})
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), "p4ss") || strings.Contains(err.Error(), "tok\\n") {
				t.Errorf("secret in %q", err)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	for _, base := range []string{"https://h", "https://h/", "https://h/v2", "https://h/v2/"} {
		asked := ""
		c := newClient(t, rest.Options{BaseURL: base, Transport: &countingAPI{api: func(_ int, r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return answerWith(200, good()), nil
		}}})
		_, err := c.prepare(t.Context(), "")
		if want := "https://h/v2/prepare_inbound"; err != nil || asked != want {
			t.Errorf("%s: asked %s, %v; want %s", base, asked, err, want)
		}
	}
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestRequestOnTheWire(t *testing.T) {
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, good())
	}))
	defer srv.Close()
	c := newClient(t, rest.Options{BaseURL: srv.URL + "/v2", UserAgent: "flowbridge/1"})
	p, err := c.Prepare(t.Context(), Request{Ask: c.ask, IdempotencyKey: "call-1", Traceparent: traceparent})
	must(t, err)
	if p.CallID != givenID || p.Status != 200 || p.Attempts != 1 || string(p.Body) != good() {
		t.Errorf("got %+v", p)
	}
	if diff := cmp.Diff(`{"from_number":"","to_number":"","model_id":"m","workspace_id":"","custom_variables":{}}`, string(body)); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + testToken, "Content-Type": "application/json",
		"Idempotency-Key": "call-1", "Traceparent": traceparent, "User-Agent": "flowbridge/1",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: got %q; want %q", name, v, want)
		}
	}
	if got.URL.Path != "/v2/prepare_inbound" || got.Method != http.MethodPost {
		t.Errorf("got %s %s", got.Method, got.URL)
	}
}

func gzipped(size int) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte(" "), size))
	_ = z.Close()
	return b.String()
}

func TestSecondAttemptSucceeds(t *testing.T) {
	for name, first := range map[string]func() (*http.Response, error){
		"connect": func() (*http.Response, error) { return nil, errors.New("connection refused") },
		"500":     func() (*http.Response, error) { return answerWith(500, ""), nil },
		"429":     func() (*http.Response, error) { return answerWith(429, "", "Retry-After", "2"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &countingAPI{api: func(n int, _ *http.Request) (*http.Response, error) {
					if n == 1 {
						return first()
					}
					return answerWith(200, good()), nil
				}}
				c := newClient(t, rest.Options{Transport: api})
				p, err := c.prepare(t.Context(), "")
				want := retryPause
				if name == "429" {
					want = 2 * time.Second
				}
				if err != nil || p.CallID != givenID || p.Attempts != 2 || p.Elapsed != want {
					t.Errorf("got %+v, %v; want 2 attempts after %v", p, err, want)
				}
			})
		})
	}
}

// hang waits until the client gives up the request.
func hang(_ int, r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		name    string
		api     fakeAPI
		options time.Duration
		ctx     time.Duration
		want    time.Duration
		sent    int
	}{
		{"default", hang, 0, time.Minute, 3 * time.Second, 1},
		{"option", hang, time.Second, time.Minute, time.Second, 1},
		{"context is shorter", hang, time.Second, 400 * time.Millisecond, 400 * time.Millisecond, 1},
		{"retry hangs", func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				return answerWith(502, ""), nil
			}
			return hang(n, r)
		}, time.Second, time.Minute, time.Second, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.ctx)
				defer cancel()
				c := newClient(t, rest.Options{Transport: &countingAPI{api: tt.api}, Timeout: tt.options})
				p, err := c.prepare(ctx, "")
				if kindOf(err) != KindTimeout || p.Elapsed != tt.want || p.Attempts != tt.sent {
					t.Errorf("got %v after %v, %d attempts; want timeout after %v, %d", err, p.Elapsed, p.Attempts, tt.want, tt.sent)
				}
			})
		})
	}
}

func TestCancelled(t *testing.T) {
	for name, api := range map[string]fakeAPI{
		"while asking": hang,
		"in the pause": func(int, *http.Request) (*http.Response, error) {
			return answerWith(429, "", "Retry-After", "2"), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(700*time.Millisecond, cancel)
				c := newClient(t, rest.Options{Transport: &countingAPI{api: api}})
				p, err := c.prepare(ctx, "")
				if kindOf(err) != KindCancelled || p.Elapsed != 700*time.Millisecond || p.Attempts != 1 {
					t.Errorf("got %v after %v, %d attempts", err, p.Elapsed, p.Attempts)
				}
			})
		})
	}
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := newClient(t, rest.Options{Transport: &countingAPI{api: hang}})
		if _, err := c.prepare(ctx, ""); kindOf(err) != KindCancelled {
			t.Errorf("got %v", err)
		}
	})
}

func TestConnectError(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	_ = l.Close()
	c := newClient(t, rest.Options{BaseURL: "http://" + addr})
	p, err := c.prepare(t.Context(), "k")
	if kindOf(err) != KindConnect || p.Attempts != 2 || p.Status != 0 {
		t.Errorf("got %v, %+v", err, p)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), testToken) {
		t.Error("token in the error")
	}
}

func TestConnectionIsReused(t *testing.T) {
	var opened atomic.Int64
	n := 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 { // a retry uses the existing connection as well
			w.WriteHeader(http.StatusBadGateway)
		}
		fmt.Fprintf(w, `{"call_status":"registered","synthflow_call_id":"id-%d"}`, n)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := newClient(t, rest.Options{BaseURL: srv.URL})
	for range 3 {
		if _, err := c.prepare(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if opened.Load() != 1 || n != 4 {
		t.Errorf("got %d connections, %d requests; want 1, 4", opened.Load(), n)
	}
}

func TestCompressedBomb(t *testing.T) {
	body := gzipped(8 << 20)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, body)
	}))
	defer srv.Close()
	c := newClient(t, rest.Options{BaseURL: srv.URL})
	p, err := c.prepare(t.Context(), "")
	if kindOf(err) != KindTooLarge || len(p.Body) > rest.DefaultMaxBody {
		t.Errorf("got %v, body of %d", err, len(p.Body))
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Bool
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed.Store(true)
		}
		http.Redirect(w, r, srv.URL+"/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	c := newClient(t, rest.Options{BaseURL: srv.URL})
	p, err := c.prepare(t.Context(), "")
	if kindOf(err) != KindHTTPStatus || p.Status != 307 || p.Attempts != 1 || followed.Load() {
		t.Errorf("got %v, %+v, followed %v", err, p, followed.Load())
	}
}

func TestTokenIsNotPrinted(t *testing.T) {
	c := newClient(t, rest.Options{BaseURL: "https://api.synthflow.ai"})
	o := rest.Options{BaseURL: "https://api.synthflow.ai", Token: testToken}
	for _, v := range []any{c.Client, *c.Client, o, &o} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, testToken) {
				t.Errorf("%s of %T: %s", format, v, s)
			}
		}
	}
}

func TestKindsAreDistinct(t *testing.T) {
	seen := map[Kind]bool{}
	for _, k := range []Kind{
		KindTimeout, KindConnect, KindHTTPStatus, KindRateLimited, KindMalformed,
		KindCallFailed, KindMissingID, KindBadID, KindReusedID, KindTooLarge, KindCancelled,
	} {
		if k == "" || seen[k] {
			t.Errorf("kind %q", k)
		}
		seen[k] = true
	}
	if len(seen) != 11 {
		t.Errorf("got %d kinds", len(seen))
	}
}

// kindOf returns the Kind of a step's error, or "".
func kindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
