package admin

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

type fakeCalls []Call

func (f fakeCalls) Live(context.Context) []Call { return f }

func (f fakeCalls) Find(_ context.Context, id string) (Call, bool) {
	for _, c := range f {
		if c.ID == id {
			return c, true
		}
	}
	return Call{}, false
}

type fakeRecords struct {
	records []record.Record
	next    string
	err     error
	asked   record.Filter
	panics  bool
}

func (f *fakeRecords) List(_ context.Context, filter record.Filter) ([]record.Record, string, error) {
	if f.panics {
		panic("boom")
	}
	f.asked = filter
	if filter.ID != "" {
		var found []record.Record
		for _, r := range f.records {
			if r.ID == filter.ID || r.SIPCallID == filter.ID {
				found = append(found, r)
			}
		}
		return found, "", f.err
	}
	return f.records, f.next, f.err
}

func (f *fakeRecords) Get(_ context.Context, id string) (record.Record, bool, error) {
	for _, r := range f.records {
		if r.ID == id {
			return r, true, f.err
		}
	}
	return record.Record{}, false, f.err
}

var start = record.TimeOf(time.Date(2026, 11, 20, 8, 0, 0, 123_000_000, time.UTC))

func fixture() (Options, *fakeRecords) {
	recs := &fakeRecords{records: []record.Record{{ID: "done", StartedAt: start, Disposition: record.DispositionAnswered}}, next: "abc"}
	older := record.TimeOf(start.Add(-time.Minute))
	return Options{
		Calls: fakeCalls{
			{Record: record.Record{ID: "old", StartedAt: older}, Phase: "bridged"},
			{Record: record.Record{ID: "live", StartedAt: start}, Phase: "dialing"},
		},
		Records: recs,
		Access:  func() Access { return Access{Local: RightsOperate} },
		Log:     zerolog.Nop(),
	}, recs
}

// reply is the head of an answer.
type reply struct {
	StatusCode int
	Header     http.Header
}

func do(t *testing.T, h http.Handler, method, target string, header ...string) (reply, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+target, nil)
	r.RemoteAddr = "127.0.0.1:4000"
	for i := 0; i+1 < len(header); i += 2 {
		switch header[i] {
		case "Host":
			r.Host = header[i+1]
			continue
		case "Remote":
			r.RemoteAddr = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res, body := reply{w.Code, w.Result().Header}, w.Body.String()
	fits(t, method, target, res, body)
	return res, body
}

func TestHealth(t *testing.T) {
	opts, _ := fixture()
	var reason error
	opts.Ready = func() error { return reason }
	h := New(opts)
	for _, path := range []string{"/healthz", "/readyz"} {
		if res, body := do(t, h, "GET", path); res.StatusCode != 200 || body != "ok\n" {
			t.Errorf("%s: got %d %q; want 200 ok", path, res.StatusCode, body)
		}
	}
	reason = errors.New("draining")
	if res, body := do(t, h, "GET", "/readyz"); res.StatusCode != 503 || body != "draining\n" {
		t.Errorf("got %d %q; want 503 draining", res.StatusCode, body)
	}
	if res, _ := do(t, h, "GET", "/healthz"); res.StatusCode != 200 {
		t.Errorf("healthz while draining: got %d; want 200", res.StatusCode)
	}
	opts.Media = func() live.Media { return live.Media{Engine: "kernel", Detail: "tcx on eth0"} }
	opts.Troubles = func() []string { return []string{"memory: much", "stalled: call 1"} }
	if res, body := do(t, New(opts), "GET", "/healthz"); res.StatusCode != 200 || !strings.HasSuffix(body, "\nmemory: much\nstalled: call 1\n") {
		t.Errorf("healthz with troubles: got %d %q", res.StatusCode, body)
	}
	opts.Troubles = nil
	if res, body := do(t, New(opts), "GET", "/healthz"); res.StatusCode != 200 || body != "ok\nmedia: kernel: tcx on eth0\n" {
		t.Errorf("healthz with media: got %d %q", res.StatusCode, body)
	}
	opts.Ready = nil
	if res, _ := do(t, New(opts), "GET", "/readyz"); res.StatusCode != 200 {
		t.Errorf("without Ready: got %d; want 200", res.StatusCode)
	}
}

func TestLiveCalls(t *testing.T) {
	opts, _ := fixture()
	res, body := do(t, New(opts), "GET", "/api/calls")
	if res.StatusCode != 200 {
		t.Fatalf("got %d %s", res.StatusCode, body)
	}
	var got struct {
		Items []map[string]any
		Next  *string
	}
	must(t, json.Unmarshal([]byte(body), &got))
	if len(got.Items) != 2 || got.Next == nil || *got.Next != "" {
		t.Fatalf("got %s", body)
	}
	first := got.Items[0]
	for key, want := range map[string]any{
		"id": "live", "phase": "dialing", "started_at": "2026-11-20T08:00:00.123Z", "ended_at": nil, "attempts": []any{},
	} {
		if diff := cmp.Diff(want, first[key]); diff != "" {
			t.Errorf("%s: want - got +\n%s", key, diff)
		}
	}
	opts.Calls = fakeCalls(nil)
	if _, body := do(t, New(opts), "GET", "/api/calls"); body != `{"items":[],"next":""}`+"\n" {
		t.Errorf("no calls: got %s", body)
	}
}

func TestOneCall(t *testing.T) {
	opts, recs := fixture()
	h := New(opts)
	for id, phase := range map[string]string{"live": "dialing", "done": phaseEnded} {
		res, body := do(t, h, "GET", "/api/calls/"+id)
		var got Call
		must(t, json.Unmarshal([]byte(body), &got))
		if res.StatusCode != 200 || got.ID != id || got.Phase != phase {
			t.Errorf("%s: got %d %s", id, res.StatusCode, body)
		}
	}
	res, body := do(t, h, "GET", "/api/calls/none")
	if res.StatusCode != 404 || !strings.Contains(body, `"remedy":"take an id`) {
		t.Errorf("got %d %s; want 404 with a remedy", res.StatusCode, body)
	}
	recs.err = errors.New("disk on fire")
	res, body = do(t, h, "GET", "/api/calls/none")
	if res.StatusCode != 500 || strings.Contains(body, "fire") {
		t.Errorf("got %d %s; want 500 without inner words", res.StatusCode, body)
	}
}

func TestRecordsFilter(t *testing.T) {
	opts, recs := fixture()
	h := New(opts)
	res, body := do(t, h, "GET",
		"/api/cdrs?since=2026-11-20T09:00:00%2B01:00&until=2026-11-21T00:00:00.5Z&trunk=a&target=b&disposition=busy&limit=1000&cursor=xyz")
	if res.StatusCode != 200 {
		t.Fatalf("got %d %s", res.StatusCode, body)
	}
	want := record.Filter{
		Since: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 21, 0, 0, 0, 500_000_000, time.UTC),
		Trunk: "a", Target: "b", Disposition: "busy", Limit: 1000, Cursor: "xyz",
	}
	if diff := cmp.Diff(want, recs.asked); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	if !strings.Contains(body, `"next":"abc"`) || !strings.Contains(body, `"id":"done"`) {
		t.Errorf("got %s", body)
	}
	if _, _ = do(t, h, "GET", "/api/cdrs?trunk=&limit="); !cmp.Equal(recs.asked, record.Filter{}) {
		t.Errorf("empty parameters: got %+v", recs.asked)
	}
	recs.records, recs.next = nil, ""
	if _, body := do(t, h, "GET", "/api/cdrs"); body != `{"items":[],"next":""}`+"\n" {
		t.Errorf("no records: got %s", body)
	}
}

func TestBadInput(t *testing.T) {
	opts, recs := fixture()
	h := New(opts)
	for _, tc := range []struct{ target, problem, remedy string }{
		{"/api/cdrs?since=yesterday", `since is not a time: \"yesterday\"`, "RFC 3339"},
		{"/api/cdrs?since=2026-11-20T09:00:00+01:00", "since is not a time", "%2B"},
		{"/api/cdrs?until=1", "until is not a time", "RFC 3339"},
		{"/api/cdrs?since=2026-11-20T09:00:00Z&until=2026-11-20T09:00:00Z", "until is not after since", "exchange"},
		{"/api/cdrs?disposition=happy", "disposition is unknown", "no_answer"},
		{"/api/cdrs?limit=0", "limit is not a number from 1 to 1000", "100"},
		{"/api/cdrs?limit=1001", "limit is not", "100"},
		{"/api/cdrs?limit=ten", "limit is not", "100"},
		{"/api/cdrs?limit=99999999999999999999", "limit is not", "100"},
		{"/api/cdrs?limt=5", `unknown parameter \"limt\"`, "limit"},
		{"/api/cdrs?limit=5&limit=6", "more than once", "once"},
		{"/api/cdrs?trunk=%zz", "not well-formed", "%2B"},
		{"/api/cdrs?a;b", "not well-formed", "encode"},
		{"/api/calls?limit=5", "unknown parameter", "the parameters are ids"},
		{"/api/calls/live?x=1", "unknown parameter", "no parameters"},
	} {
		res, body := do(t, h, "GET", tc.target)
		if res.StatusCode != 400 || !strings.Contains(body, tc.problem) || !strings.Contains(body, tc.remedy) {
			t.Errorf("%s: got %d %s; want 400 with %q and %q", tc.target, res.StatusCode, body, tc.problem, tc.remedy)
		}
	}
	recs.err = record.ErrCursor
	if res, body := do(t, h, "GET", "/api/cdrs?cursor=no"); res.StatusCode != 400 || !strings.Contains(body, "cursor") {
		t.Errorf("cursor: got %d %s", res.StatusCode, body)
	}
	for _, path := range []string{"/api", "/api/", "/metrics", "/api/calls/a/b"} {
		if res, body := do(t, h, "GET", path); res.StatusCode != 404 || !strings.Contains(body, `"error"`) {
			t.Errorf("%s: got %d %s; want 404", path, res.StatusCode, body)
		}
	}
}

func TestMethods(t *testing.T) {
	opts, _ := fixture()
	h := New(opts)
	const allow = "GET, HEAD, OPTIONS"
	for _, path := range []string{"/healthz", "/readyz", "/api/calls", "/api/calls/live", "/api/cdrs", "/nothing"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "G%00T"} {
			res, body := do(t, h, method, path)
			if res.StatusCode != 405 || res.Header.Get("Allow") != allow || !strings.Contains(body, `"remedy":"use GET"`) {
				t.Errorf("%s %s: got %d, Allow %q, %s", method, path, res.StatusCode, res.Header.Get("Allow"), body)
			}
		}
		if res, body := do(t, h, "OPTIONS", path); res.StatusCode != 204 || res.Header.Get("Allow") != allow || body != "" {
			t.Errorf("OPTIONS %s: got %d, Allow %q, %s", path, res.StatusCode, res.Header.Get("Allow"), body)
		}
		if res, _ := do(t, h, "HEAD", path); res.StatusCode != 200 && path != "/nothing" {
			t.Errorf("HEAD %s: got %d; want 200", path, res.StatusCode)
		}
	}
}

// Every error is a problem of RFC 9457, with what to do.
func TestErrorsAreProblems(t *testing.T) {
	opts, _ := fixture()
	op := &fakeOperator{}
	op.err = &InvalidError{Problems: []string{"line 3: no"}}
	opts.Operator = op
	h := New(opts)
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api/nothing", 404},
		{"GET", "/api/calls?x=1", 400},
		{"GET", "/api/cdrs?limit=x", 400},
		{"POST", "/api/calls", 405},
		{"GET", "/debug/pprof/?seconds=0", 400},
		{"POST", "/api/reload", 422},
	} {
		res, body := do(t, h, tc.method, tc.path)
		var p problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if res.StatusCode != tc.status || res.Header.Get("Content-Type") != problemType || p.Status != tc.status || p.Type != "about:blank" ||
			p.Title != http.StatusText(tc.status) || p.Detail == "" || p.Detail != p.Error || p.Remedy == "" {
			t.Errorf("%s: %d %s %s", tc.path, res.StatusCode, res.Header.Get("Content-Type"), body)
		}
		if (tc.status == 422) != (len(p.Problems) > 0) {
			t.Errorf("%s: problems %v", tc.path, p.Problems)
		}
	}
}

func TestToken(t *testing.T) { synctest.Test(t, testTokenIn) } // wrong tokens wait

func testTokenIn(t *testing.T) {
	t.Helper()
	opts, _ := fixture()
	opts.Access = withToken(RightsRead)
	h := New(opts)
	for _, tc := range []struct {
		header string
		want   int
	}{
		{"", 401},
		{"Bearer", 401},
		{"Bearer ", 401},
		{"Bearer s3cre", 401},
		{"Bearer s3crett", 401},
		{"Basic s3cret", 401},
		{"s3cret", 401},
		{"Bearer s3cret", 200},
		{"bearer s3cret", 200},
	} {
		for _, path := range []string{"/api/calls", "/api/calls/live", "/api/cdrs"} {
			res, body := do(t, h, "GET", path, "Authorization", tc.header, "Host", "flowbridge.example.com")
			if res.StatusCode != tc.want {
				t.Errorf("%s with %q: got %d; want %d", path, tc.header, res.StatusCode, tc.want)
			}
			if tc.want == 401 && (res.Header.Get("WWW-Authenticate") == "" || strings.Contains(body, "s3cret")) {
				t.Errorf("%s with %q: got %v %s", path, tc.header, res.Header, body)
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if res, _ := do(t, h, "GET", path, "Host", "flowbridge.example.com"); res.StatusCode != 200 {
			t.Errorf("%s without a token: got %d; want 200", path, res.StatusCode)
		}
	}
	if res, _ := do(t, h, "GET", "/nothing"); res.StatusCode != 401 {
		t.Errorf("unknown path without a token: got %d; want 401", res.StatusCode)
	}
}

func TestHostWithoutToken(t *testing.T) {
	opts, _ := fixture()
	h := New(opts)
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:8080": 200, "127.9.9.9:1": 200, "localhost": 200, "LocalHost:8080": 200, "[::1]:8080": 200,
		"[::1]": 200, "[::ffff:127.0.0.1]:80": 200,
		"evil.example": 403, "evil.example:8080": 403, "192.0.2.1": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
		"0.0.0.0": 403, "[::]:8080": 403, "": 403,
	} {
		res, body := do(t, h, "GET", "/api/calls", "Host", host)
		if res.StatusCode != want {
			t.Errorf("host %q: got %d; want %d", host, res.StatusCode, want)
		}
		if want == 403 && !strings.Contains(body, "token_file") {
			t.Errorf("host %q: got %s; want the remedy", host, body)
		}
	}
}

func TestHeaders(t *testing.T) {
	opts, _ := fixture()
	for _, path := range []string{"/healthz", "/api/calls", "/nothing"} {
		res, _ := do(t, New(opts), "GET", path)
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s %s: got %q; want %q", path, name, got, want)
			}
		}
		if !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: no content security policy", path)
		}
	}
}

func TestInnerFailures(t *testing.T) {
	opts, recs := fixture()
	recs.panics = true
	if res, body := do(t, New(opts), "GET", "/api/cdrs"); res.StatusCode != 500 || strings.Contains(body, "boom") {
		t.Errorf("panic: got %d %s", res.StatusCode, body)
	}
	opts.Calls = fakeCalls{{Record: record.Record{Media: record.Media{MOS: record.Score(math.NaN())}}}}
	if res, body := do(t, New(opts), "GET", "/api/calls"); res.StatusCode != 500 || !json.Valid([]byte(body)) {
		t.Errorf("not encodable: got %d %s", res.StatusCode, body)
	}
}

func TestServerBounds(t *testing.T) {
	opts, _ := fixture()
	s := Server(New(opts), zerolog.Nop())
	if s.ErrorLog == nil {
		t.Error("what it says of connections goes to stderr")
	}
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("a bound is missing: %+v", s)
	}
	srv := httptest.NewUnstartedServer(s.Handler)
	srv.Config = s
	srv.Start()
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/api/calls", nil)
	must(t, err)
	req.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	res, err := srv.Client().Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("large header: got %d; want 431", res.StatusCode)
	}
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
