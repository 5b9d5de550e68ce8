package rest

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
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
)

const token = "tok-7f3a/secret<&>"

// api returns a client of an API whose handler is f.
func api(t *testing.T, f http.HandlerFunc, change ...func(*Options)) *Client {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	o := Options{BaseURL: s.URL, Token: token, Timeout: time.Minute}
	for _, c := range change {
		c(&o)
	}
	c, err := New(o)
	must(t, err)
	t.Cleanup(c.CloseIdle)
	return c
}

func answer(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRequestOnTheWire(t *testing.T) {
	var got string
	c := api(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%s %s auth=%s accept=%s type=%s agent=%s body=%s", r.Method, r.RequestURI, r.Header.Get("Authorization"),
			r.Header.Get("Accept"), r.Header.Get("Content-Type"), r.Header.Get("User-Agent"), body)
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	}, func(o *Options) { o.BaseURL += "/base/"; o.UserAgent = "flowbridge/1" })
	a, err := c.Do(t.Context(), Request{
		Method: http.MethodPost, Path: "/v2/a/" + Segment("b/c d"), Query: url.Values{"workspace": {"w 1"}}, Body: Object{"b": "<x>", "a": true},
	})
	if err != nil || string(a.Body) != `{"status":"ok"}` || a.Status != 200 {
		t.Fatalf("got %+v, %v", a, err)
	}
	want := "POST /base/v2/a/b%2Fc%20d?workspace=w+1 auth=Bearer " + token +
		` accept=application/json type=application/json agent=flowbridge/1 body={"a":true,"b":"<x>"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// An id of two dots would turn the request into one for the collection's parent, so it is
// not sent.
func TestPathsThatLeadElsewhereAreNotSent(t *testing.T) {
	sent := ""
	c := api(t, func(_ http.ResponseWriter, r *http.Request) { sent = r.URL.EscapedPath() })
	for _, path := range []string{"/assistant/..", "/assistant/.", "/../x", "/a/../b", "/a/%2e%2E", "/a/.%2e/b", "/a/%zz", "/a/" + Segment("..")} {
		_, err := c.Do(t.Context(), Request{Method: http.MethodDelete, Path: path})
		if _, ok := errors.AsType[*Error](err); !ok || sent != "" || !strings.Contains(err.Error(), "not sent") {
			t.Errorf("%s: sent %q, %v", path, sent, err)
		}
	}
	for _, id := range []string{"...", "..a", "%2e%2e", "a/../b", "a..b"} {
		if _, err := c.Do(t.Context(), Request{Method: http.MethodDelete, Path: "/x/" + Segment(id)}); err != nil || sent != "/x/"+Segment(id) {
			t.Errorf("%s: sent %q, %v", id, sent, err)
		}
	}
}

func TestNothingIsAnAnswerToo(t *testing.T) {
	c := api(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	a, err := c.Do(t.Context(), Request{Method: http.MethodDelete, Path: "/x"})
	if err != nil || a.Status != 204 || a.Body != nil {
		t.Errorf("got %+v, %v", a, err)
	}
}

// bomb answers with a small gzip that expands to 200 MB.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Type", "application/json")
	z := gzip.NewWriter(w)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for range 200 {
		if _, err := z.Write(chunk); err != nil {
			return
		}
	}
	_ = z.Close()
}

func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		api  http.HandlerFunc
		says []string
	}{
		"detail object": {
			answer(400, "application/json", `{"detail":{"status":"error","description":"termination_uri is required for provider \"custom\"","request_id":"r-1","category":"validation"}}`),
			[]string{"400 Bad Request", `termination_uri is required for provider "custom"`, "category validation", "request_id r-1", "correct what it names"},
		},
		"detail text":    {answer(404, "application/json", `{"detail":"Number not found"}`), []string{"404 Not Found: Number not found", "check the id by a list"}},
		"gateway":        {answer(401, "application/json", `{"error":"Unauthorized","message":"Invalid API key"}`), []string{"Unauthorized: Invalid API key", "check the token"}},
		"list of errors": {answer(422, "application/json", `{"detail":[{"loc":["body","agent",0],"msg":"field required","type":"x"},{"loc":["body","name"],"msg":"too long"}]}`), []string{"body.agent.0: field required; body.name: too long"}},
		"messages":       {answer(400, "application/json", `{"message":["sipUri must be a URI","name too long"],"error":"Bad Request","statusCode":400}`), []string{"Bad Request: sipUri must be a URI; name too long"}},
		"one message":    {answer(403, "application/json", `{"message":"not yours","error":"Forbidden","statusCode":403}`), []string{"Forbidden: not yours", "may not do this"}},
		"unknown shape":  {answer(409, "application/json", `{"code":17,"why":{"x":[1,2]}}`), []string{`{"code":17,"why":{"x":[1,2]}}`, "update it instead"}},
		"nothing":        {answer(402, "text/plain", ""), []string{"402 Payment Required\n"}},
		"HTML error":     {answer(502, "text/html", "<html><h1>Bad\r\n gateway</h1>"), []string{"502", "a web page (HTML)", "<html><h1>Bad gateway", "try again later", "look first"}},
		"HTML success":   {answer(200, "text/html", "<!DOCTYPE html><title>Sign in</title>"), []string{"200 OK", "a web page (HTML)", "Sign in", "is this the platform's API?"}},
		"text":           {answer(200, "application/json", "ok then"), []string{"something that is not JSON", `"ok then"`}},
		"cut short":      {answer(200, "application/json", `{"status": "ok"`), []string{"something that is not JSON"}},
		"large":          {answer(200, "application/json", `["`+strings.Repeat("x", 10<<20)+`"]`), []string{"larger than 1048576 bytes"}},
		"bomb":           {bomb, []string{"larger than 1048576 bytes"}},
		"large error":    {answer(500, "application/json", `{"detail":"`+strings.Repeat("x", 10<<20)+`"}`), []string{"500", "something that is not JSON"}},
		"too many": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "120")
			answer(429, "application/json", `{"detail":"slow down"}`)(w, r)
		}, []string{"429", "slow down", "wait 2m0s"}},
		"too many, plain": {answer(429, "text/plain", ""), []string{"wait, and try again"}},
		"encoding": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte{0xce, 0xb2, 0xcf, 0x81})
		}, []string{"an encoding that was not asked for (br)"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := api(t, tt.api)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/v2/x", Body: Object{}})
			runtime.ReadMemStats(&after)
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %v", err)
			}
			for _, words := range append(tt.says, "POST /v2/x: ") {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q is not in %q", words, err)
				}
			}
			if len(err.Error()) > 4096 || strings.ContainsAny(strings.Replace(err.Error(), "\n", "", 1), "\r\n") {
				t.Errorf("%d bytes: %.300q", len(err.Error()), err)
			}
			// The server of the test is in this process, too: what it makes of a large answer counts.
			if grown := after.TotalAlloc - before.TotalAlloc; name == "bomb" && grown > 16<<20 {
				t.Errorf("the bomb took %d bytes", grown)
			}
		})
	}
}

// A redirect is not followed, because the token would be sent to the other server.
func TestRedirectIsNotFollowed(t *testing.T) {
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer other.Close()
	c := api(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/login?key="+url.QueryEscape(token), http.StatusFound)
	})
	_, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: "/x"})
	if err == nil || followed || !strings.Contains(err.Error(), "redirected to "+other.URL+"/login, which is not followed") {
		t.Errorf("followed %v, got %v", followed, err)
	}
}

// Even if an API repeats a secret, in whatever form, no error contains it.
func TestSecretsAreInNoError(t *testing.T) {
	const password = `pw "q" <b>&x`
	escaped := strings.NewReplacer(`"`, `\"`).Replace(password)
	bodies := []string{
		`{"detail":"bad token ` + token + ` and ` + escaped + `"}`,
		`{"detail":{"description":"` + escaped + `","x":["` + token + `"]}}`,
		`{"` + token + `":"` + escaped + `"}`,
		`<html>` + token + ` pw &#34;q&#34; &lt;b&gt;&amp;x`,
		strings.Repeat("x", maxExcerpt-5) + token,
		`{"detail":"` + strings.Repeat("x", maxWords-5) + token + `"}`,
		url.QueryEscape(token) + url.PathEscape(password),
		`"pw \"q\" \u003cb\u003e\u0026x`,
	}
	for _, body := range bodies {
		for _, status := range []int{200, 302, 400, 500} {
			c := api(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/"+url.PathEscape(token))
				w.Header().Set("Content-Encoding", "")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			}, func(o *Options) { o.Secrets = []string{password, "pw", ""} })
			a, err := c.Do(t.Context(), Request{Method: http.MethodPut, Path: "/x"})
			if err == nil {
				err = c.Unusable(Request{Method: http.MethodPut, Path: "/x"}, a, "said "+token)
			}
			text := fmt.Sprintf("%v %+v %#v", err, c, *c)
			for e := error(err); e != nil; e = errors.Unwrap(e) {
				text += e.Error()
			}
			for _, secret := range []string{token, "7f3a", password, "pw", "<b>", "%3Cb", "&lt;b"} {
				if strings.Contains(text, secret) {
					t.Errorf("%d %.60q: %q is in %q", status, body, secret, text)
				}
			}
		}
	}
}

func TestNoAnswer(t *testing.T) {
	plain := httptest.NewServer(answer(200, "application/json", "{}"))
	defer plain.Close()
	secure := httptest.NewTLSServer(answer(200, "application/json", "{}"))
	defer secure.Close()
	secure.Config.ErrorLog = nil
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	hang := make(chan struct{})
	defer close(hang)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer silent.Close()
	breaks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"a":`)
	}))
	defer breaks.Close()
	noName := func(o *Options) {
		o.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Name: "api.example.invalid", IsNotFound: true, Err: "no such host"}}
		})
	}
	for name, tt := range map[string]struct {
		url    string
		change func(*Options)
		says   []string
		maybe  bool // whether a POST may have been carried out
	}{
		"refused":        {closed.URL, nil, []string{"refuses connections", "is it running?"}, false},
		"no name":        {"https://api.example.invalid", noName, []string{"api.example.invalid has no address: there is no such name", "DNS"}, false},
		"no TLS there":   {strings.Replace(plain.URL, "http:", "https:", 1), nil, []string{"does not speak TLS"}, false},
		"unknown issuer": {secure.URL, nil, []string{"nobody that this machine trusts"}, false},
		"silent":         {silent.URL, func(o *Options) { o.Timeout = 50 * time.Millisecond }, []string{"no answer within 50ms"}, true},
		"broken":         {breaks.URL, nil, []string{"the connection broke"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{BaseURL: tt.url, Token: token}
			if tt.change != nil {
				tt.change(&o)
			}
			c, err := New(o)
			must(t, err)
			defer c.CloseIdle()
			_, err = c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/x"})
			for _, words := range tt.says {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("%q is not in %v", words, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "may have been done") != tt.maybe {
				t.Errorf("got %v", err)
			}
			if StatusOf(err) != 0 {
				t.Errorf("got a status: %v", err)
			}
		})
	}
}

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := api(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/x"})
	if err == nil || !strings.Contains(err.Error(), "given up") || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Only a request that changes nothing is sent again, and only once, if the API gives a time
// to wait that is short enough.
func TestRetry(t *testing.T) {
	for name, tt := range map[string]struct {
		method, after string
		sent          int
		ok            bool
	}{
		"GET":            {http.MethodGet, "0", 2, true},
		"POST":           {http.MethodPost, "0", 1, false},
		"DELETE":         {http.MethodDelete, "0", 1, false},
		"too long":       {http.MethodGet, "3600", 1, false},
		"no time":        {http.MethodGet, "", 1, false},
		"no time at all": {http.MethodGet, "soon", 1, false},
		"a past date":    {http.MethodGet, "Fri, 20 Nov 2015 08:00:00 GMT", 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			c := api(t, func(w http.ResponseWriter, r *http.Request) {
				if sent++; sent == 1 {
					w.Header().Set("Retry-After", tt.after)
					answer(429, "application/json", `{"detail":"slow down"}`)(w, r)
					return
				}
				answer(200, "application/json", "{}")(w, r)
			})
			_, err := c.Do(t.Context(), Request{Method: tt.method, Path: "/x"})
			if sent != tt.sent || (err == nil) != tt.ok {
				t.Errorf("sent %d times, %v", sent, err)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		sent := 0
		c := api(t, func(w http.ResponseWriter, r *http.Request) {
			sent++
			w.Header().Set("Retry-After", "0")
			answer(429, "application/json", `{}`)(w, r)
		})
		if _, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: "/x"}); sent != 2 || StatusOf(err) != 429 {
			t.Errorf("sent %d times, %v", sent, err)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		says string
	}{
		"no URL":       {Options{Token: "t"}, "is not one"},
		"scheme":       {Options{BaseURL: "ftp://a", Token: "t"}, "https://api.example.com"},
		"bad URL":      {Options{BaseURL: "http://a b/%zz", Token: "t"}, "can't be read"},
		"credentials":  {Options{BaseURL: "https://u:hunter2@a", Token: "t"}, "credentials"},
		"query":        {Options{BaseURL: "https://a?k=hunter2", Token: "t"}, "a query"},
		"no token":     {Options{BaseURL: "https://a"}, "token is empty"},
		"line break":   {Options{BaseURL: "https://a", Token: "hunter2\n"}, "line break"},
		"negative":     {Options{BaseURL: "https://a", Token: "t", Timeout: -1}, "negative"},
		"negative too": {Options{BaseURL: "https://a", Token: "t", MaxBody: -1}, "negative"},
	} {
		if _, err := New(tt.o); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", name, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", tt.o, tt.o, tt.o); tt.o.Token == "hunter2\n" && strings.Contains(text, "hunter2") {
			t.Errorf("the token is in %s", text)
		}
	}
}

// The token is sent in the header that the API expects. Without a token, no such header is
// sent.
func TestWhereTheTokenGoes(t *testing.T) {
	for _, tt := range []struct {
		options Options
		want    http.Header
	}{
		{Options{Token: "tok-1"}, http.Header{"Authorization": {"Bearer tok-1"}}},
		{Options{Token: "tok-1", TokenIn: "x-api-key"}, http.Header{"X-Api-Key": {"tok-1"}}},
		{Options{Token: "tok-1", TokenIn: "authorization"}, http.Header{"Authorization": {"tok-1"}}},
		{Options{Anonymous: true}, http.Header{}},
	} {
		var got http.Header
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
		tt.options.BaseURL = srv.URL
		c, err := New(tt.options)
		must(t, err)
		_, err = c.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
		c.CloseIdle()
		srv.Close()
		for _, name := range []string{"Authorization", "X-Api-Key"} {
			if got.Get(name) != tt.want.Get(name) {
				t.Errorf("%v: %s: %q; want %q (%v)", tt.options, name, got.Get(name), tt.want.Get(name), err)
			}
		}
	}
	for _, o := range []Options{{}, {Token: "t", Anonymous: true}} {
		o.BaseURL = "https://api.test"
		if _, err := New(o); err == nil {
			t.Errorf("%v is accepted", o)
		}
	}
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
