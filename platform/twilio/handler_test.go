package twilio

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

const (
	host       = "sipin.synthflow.ai:32681"
	public     = "https://voice.example.com"
	getCall    = "/redirect_call?CallSid=CA01&AccountSid=AC01&Called=%2B15075785607&From=%2B15550100001"
	dialCalled = "<Dial><Sip>sip:+15075785607@" + host + "</Sip></Dial>"
	rejectBusy = `<Reject reason="busy"></Reject>`
)

// toCalled decides as in Synthflow's document "Dial to SIP Endpoint".
func toCalled(_ context.Context, c Call) (Destination, error) {
	return Destination{URI: "sip:" + c.Called + "@" + host}, nil
}

func startHandler(t *testing.T, o Options) http.Handler {
	t.Helper()
	if o.Route == nil {
		o.Route = toCalled
	}
	h, err := NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

func post(target, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantTwiML checks that an answer is valid TwiML with this content.
func wantTwiML(t *testing.T, w *httptest.ResponseRecorder, content string) {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if got, want := w.Body.String(), xml.Header+"<Response>"+content+"</Response>"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The webhook accepts each variant in Synthflow's documents, with both encodings of the
// semicolon.
func TestHandlerDials(t *testing.T) {
	with := func(value string) func(context.Context, Call) (Destination, error) {
		return func(ctx context.Context, c Call) (Destination, error) {
			d, err := toCalled(ctx, c)
			d.Headers = []Header{{"X-EI", strings.ReplaceAll(value, "CallSid", c.SID)}}
			return d, err
		}
	}
	for name, tt := range map[string]struct {
		opts Options
		want string
	}{
		"plain":    {Options{}, dialCalled},
		"call sid": {Options{Route: with("CallSid")}, strings.Replace(dialCalled, "</Sip>", "?X-EI=CA01</Sip>", 1)},
		"token":    {Options{Route: with("S.a29407fb;")}, strings.Replace(dialCalled, "</Sip>", "?X-EI=S.a29407fb;</Sip>", 1)},
		"bridge":   {Options{Dial: DialOptions{AnswerOnBridge: true}}, strings.Replace(dialCalled, "<Dial>", `<Dial answerOnBridge="true">`, 1)},
	} {
		t.Run(name, func(t *testing.T) { wantTwiML(t, serve(startHandler(t, tt.opts), get(getCall)), tt.want) })
	}
}

func TestHandlerReads(t *testing.T) {
	h := startHandler(t, Options{})
	for name, r := range map[string]*http.Request{
		"get":                      get(getCall),
		"plus not encoded":         get("/redirect_call?Called=+15075785607"),
		"plus left out":            get("/redirect_call?Called=15075785607"),
		"post":                     post("/redirect_call", "CallSid=CA01&Called=%2B15075785607"),
		"post, called in query":    post("/redirect_call?Called=%2B15075785607", "CallSid=CA01"),
		"post, both: the body's":   post("/redirect_call?Called=%2B1999", "Called=%2B15075785607"),
		"post without a body":      httptest.NewRequest(http.MethodPost, "/redirect_call?Called=%2B15075785607", nil),
		"semicolon in a parameter": get("/redirect_call?x=a;b&Called=%2B15075785607"),
	} {
		t.Run(name, func(t *testing.T) { wantTwiML(t, serve(h, r), dialCalled) })
	}
}

func TestHandlerRefuses(t *testing.T) {
	h := startHandler(t, Options{AuthToken: testToken, URL: public})
	signed := func(r *http.Request, form url.Values) *http.Request {
		r.Header.Set(SignatureHeader, plainSign(testToken, public+r.RequestURI, form))
		return r
	}
	asJSON := post("/x", "{}")
	asJSON.Header.Set("Content-Type", "application/json")
	for name, tt := range map[string]struct {
		request *http.Request
		code    int
		says    string
	}{
		"PUT":                        {httptest.NewRequest(http.MethodPut, getCall, nil), 405, "GET or POST"},
		"HEAD":                       {httptest.NewRequest(http.MethodHead, getCall, nil), 405, "GET or POST"},
		"too long":                   {post("/redirect_call", "a="+strings.Repeat("x", maxBody)), 413, "65536"},
		"cut short":                  {httptest.NewRequest(http.MethodPost, getCall, io.MultiReader(strings.NewReader("a"), brokenReader{})), 400, "cut short"},
		"JSON":                       {asJSON, 415, "form-urlencoded"},
		"body":                       {post("/redirect_call", "Called=%zz"), 400, "body: parameter \"Called\""},
		"query":                      {get("/redirect_call?Called=%zz"), 400, "query: parameter \"Called\""},
		"no signature":               {get(getCall), 403, "X-Twilio-Signature"},
		"no signature and no called": {get("/redirect_call"), 403, "X-Twilio-Signature"},
		"no called":                  {signed(get("/redirect_call?CallSid=CA01"), nil), 400, `Missing "Called" query parameter`},
		"to alone":                   {signed(post("/redirect_call", "To=%2B1"), url.Values{"To": {"+1"}}), 400, `Missing "Called" query parameter`},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(h, tt.request)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
				t.Errorf("%d %q %v; want %d %q", w.Code, w.Body, w.Header(), tt.code, tt.says)
			}
			if allow := w.Header().Get("Allow"); (tt.code == 405) != (allow == "GET, POST") {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
	if w := serve(startHandler(t, Options{}), get("/redirect_call")); w.Code != 400 || w.Body.String() != `Missing "Called" query parameter` {
		t.Errorf("%d %q; want the document's words and no others", w.Code, w.Body)
	}
	wantTwiML(t, serve(h, signed(get(getCall), nil)), dialCalled)
	form := url.Values{"Called": {"+15075785607"}, "CallSid": {"CA01"}}
	wantTwiML(t, serve(h, signed(post("/redirect_call?x=1", form.Encode()), form)), dialCalled)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Whatever fails, Twilio gets TwiML.
func TestHandlerFallsBack(t *testing.T) {
	for name, route := range map[string]func(context.Context, Call) (Destination, error){
		"error":     func(context.Context, Call) (Destination, error) { return Destination{}, errors.New("service outage") },
		"panic":     func(context.Context, Call) (Destination, error) { panic("out of range") },
		"zero":      func(context.Context, Call) (Destination, error) { return Destination{}, nil },
		"header":    headers(Header{"Subject", "x"}),
		"injection": headers(Header{"X-A", "x\r\nVia: y"}),
		"long":      headers(Header{"X-A", strings.Repeat("x", 2000)}),
	} {
		t.Run(name, func(t *testing.T) {
			wantTwiML(t, serve(startHandler(t, Options{Route: route}), get(getCall)), rejectBusy)
		})
	}
	h := startHandler(t, Options{Route: headers(Header{"Subject", "x"}), Fallback: "<Response><Dial>+15550100009</Dial></Response>"})
	wantTwiML(t, serve(h, get(getCall)), "<Dial>+15550100009</Dial>")
}

func headers(all ...Header) func(context.Context, Call) (Destination, error) {
	return func(context.Context, Call) (Destination, error) {
		return Destination{URI: "sip:a@b", Headers: all}, nil
	}
}

func TestHandlerIsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		h := startHandler(t, Options{MaxRequests: 1, Route: func(context.Context, Call) (Destination, error) {
			<-free // ignores its context
			return Destination{}, nil
		}})
		began := time.Now()
		wantTwiML(t, serve(h, get(getCall)), rejectBusy)
		if took := time.Since(began); took != defaultTimeout {
			t.Errorf("answered after %v", took)
		}
		// The late decision still holds its place, so the next request is refused without a
		// decision.
		began = time.Now()
		wantTwiML(t, serve(h, get(getCall)), rejectBusy)
		if took := time.Since(began); took != 0 {
			t.Errorf("answered after %v", took)
		}
		close(free)
		synctest.Wait()
	})
	synctest.Test(t, func(t *testing.T) { // this Route observes its context
		h := startHandler(t, Options{Timeout: time.Second, MaxRequests: 1, Route: func(ctx context.Context, _ Call) (Destination, error) {
			<-ctx.Done()
			return Destination{}, ctx.Err()
		}})
		for range 2 {
			wantTwiML(t, serve(h, get(getCall)), rejectBusy)
			synctest.Wait()
		}
	})
}

func TestHandlerManyAtOnce(t *testing.T) {
	h := startHandler(t, Options{MaxRequests: 50})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if w := serve(h, get(getCall)); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
}

func TestNewHandlerRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no route":      {},
		"token, no URL": {Route: toCalled, AuthToken: testToken},
		"fallback":      {Route: toCalled, Fallback: "<Say>no</Say>"},
		"dial":          {Route: toCalled, Dial: DialOptions{Timeout: time.Second}},
	} {
		if _, err := NewHandler(o); err == nil || strings.Contains(err.Error(), testToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// If a signature is wrong, the log has the URLs that might have been signed. Neither the
// log nor an answer has the token or the right signature.
func TestHandlerKeepsSecrets(t *testing.T) {
	var log bytes.Buffer
	h := startHandler(t, Options{
		AuthToken: testToken, URL: public, Log: zerolog.New(&log),
		Route: func(context.Context, Call) (Destination, error) { return Destination{}, errors.New("no agent") },
	})
	right := plainSign(testToken, public+getCall, nil)
	wrong := get(getCall)
	wrong.Header.Set(SignatureHeader, plainSign("another", public+getCall, nil))
	good := get(getCall)
	good.Header.Set(SignatureHeader, right)
	out := serve(h, wrong).Body.String() + serve(h, get(getCall)).Body.String() + serve(h, good).Body.String() + log.String()
	for _, secret := range []string{testToken, right, plainSign(testToken, "https://voice.example.com:443"+getCall, nil)} {
		if strings.Contains(out, secret) {
			t.Errorf("%s is in\n%s", secret, out)
		}
	}
	for _, want := range []string{`"signed_urls":["` + public + getCall, `"signature":true`, `"signature":false`, "no agent", `"call_sid":"CA01"`, `"to":"+15075785607"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in\n%s", want, &log)
		}
	}
}

// A sender of invalid requests can't fill the log.
func TestHandlerLogIsBounded(t *testing.T) {
	var log bytes.Buffer
	h := startHandler(t, Options{AuthToken: testToken, URL: public, Log: zerolog.New(&log)})
	for range 100 {
		serve(h, get(getCall))
	}
	if n := strings.Count(log.String(), "\n"); n > 10 {
		t.Errorf("%d lines", n)
	}
}

func FuzzHandler(f *testing.F) {
	f.Add("GET", getCall, "")
	f.Add("POST", "/redirect_call?x=;", "Called=+1507&CallSid=%")
	f.Add("POST", "/redirect_call", "Called=%3Csip%3Aa%40b%3E%0D%0A")
	h, err := NewHandler(Options{Route: func(_ context.Context, c Call) (Destination, error) {
		return Destination{URI: "sip:" + c.Called + "@" + host, Headers: []Header{{"X-EI", c.SID}}}, nil
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := post("/", body)
		r.Method, r.URL, r.RequestURI = method, u, target
		w := serve(h, r)
		if w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w.Code == http.StatusOK {
			var doc struct {
				XMLName xml.Name `xml:"Response"`
			}
			if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil {
				t.Errorf("%v in %s", err, w.Body)
			}
		}
	})
}
