package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"
)

// staffed is a fixture with everything there is, tokens with each right, and a log.
func staffed() (opts Options, log *bytes.Buffer) {
	opts, _ = fixture()
	log = &bytes.Buffer{}
	opts.Log = zerolog.New(log)
	opts.Control, opts.Operator = &fakeControl{}, &fakeOperator{}
	opts.Access = func() Access { return Access{Tokens: staff} }
	return opts, log
}

// staff are the tokens of a fixture with everything there is.
var staff = []Token{{"anna", "aaa", RightsOperate, false, 0}, {"bob", "bbb", RightsRead, true, 0}}

// local is the access of requests of this machine where there is no token.
func local(rights Rights) func() Access {
	return func() Access { return Access{Local: rights} }
}

// withToken is the access where there is one token, s3cret.
func withToken(rights Rights) func() Access {
	return func() Access { return Access{Tokens: []Token{{"anna", "s3cret", rights, false, 0}}} }
}

// What a request may do depends on its token: nothing without one, seeing with read, and changes and profiles with operate.
func TestRights(t *testing.T) { synctest.Test(t, testRightsIn) } // wrong tokens wait

func testRightsIn(t *testing.T) {
	t.Helper()
	opts, log := staffed()
	h := New(opts)
	for _, tt := range []struct {
		method, path     string
		none, read, full int
	}{
		{"GET", "/healthz", 200, 200, 200},
		{"GET", "/api/calls", 401, 200, 200},
		{"GET", "/api/calls/live", 401, 200, 200},
		{"GET", "/api/cdrs", 401, 200, 200},
		{"POST", "/api/calls/live/hangup", 401, 403, 200},
		{"POST", "/api/calls/live/recording/start", 401, 403, 200},
		{"POST", "/api/drain", 401, 403, 202},
		{"POST", "/api/reload", 401, 403, 200},
		{"GET", "/debug/pprof/", 401, 403, 200},
		{"GET", "/debug/pprof/heap", 401, 403, 200},
	} {
		for token, want := range map[string]int{"": tt.none, "Bearer ccc": tt.none, "Bearer bbb": tt.read, "Bearer aaa": tt.full} {
			if tt.path == "/healthz" {
				want = 200
			}
			var header []string
			if token != "" {
				header = []string{"Authorization", token}
			}
			res, body := do(t, h, tt.method, tt.path, header...)
			if res.StatusCode != want || want >= 400 && !strings.Contains(body, `"remedy":"`) {
				t.Errorf("%s %s with %q: %d %s; want %d", tt.method, tt.path, token, res.StatusCode, body, want)
			}
			if want == 401 && res.Header.Get("Connection") != "close" {
				t.Errorf("%s %s with %q: the connection stays for a stranger", tt.method, tt.path, token)
			}
		}
	}
	if strings.Contains(log.String(), "aaa") || strings.Contains(log.String(), "bbb") {
		t.Errorf("the log has a token:\n%s", log)
	}
}

// Each change and profile is logged with the name of the token, and so is the attempt of a token without the right.
func TestChangesAreLoggedByName(t *testing.T) { synctest.Test(t, testChangesAreLoggedByNameIn) } // wrong tokens wait

func testChangesAreLoggedByNameIn(t *testing.T) {
	t.Helper()
	opts, log := staffed()
	h := New(opts)
	for _, tt := range []struct{ method, path, token, want string }{
		{"POST", "/api/calls/live/hangup", "aaa", `"by":"anna","src":"127.0.0.1:4000","path":"/api/calls/live/hangup","code":200,"call":"live","message":"operator request"`},
		{"POST", "/api/reload", "aaa", `"by":"anna","src":"127.0.0.1:4000","path":"/api/reload","code":200,"message":"operator request"`},
		{"GET", "/debug/pprof/heap", "aaa", `"by":"anna","src":"127.0.0.1:4000","path":"/debug/pprof/heap","code":200,"message":"operator request"`},
		{"POST", "/api/drain", "bbb", `"by":"bob","src":"127.0.0.1:4000","method":"POST","path":"/api/drain","reason":"it needs the right operate","message":"admin request refused"`},
		{"POST", "/api/drain", "ccc", `"by":"unknown","src":"127.0.0.1:4000","method":"POST","path":"/api/drain","reason":"no token, or a wrong one","message":"admin request refused"`},
	} {
		log.Reset()
		do(t, h, tt.method, tt.path, "Authorization", "Bearer "+tt.token)
		if !strings.Contains(log.String(), tt.want) || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%s %s: got %s; want %s", tt.method, tt.path, log, tt.want)
		}
	}
	log.Reset()
	do(t, h, "GET", "/api/calls", "Authorization", "Bearer aaa")
	if log.Len() > 0 {
		t.Errorf("reading is logged: %s", log)
	}
	for range 100 {
		do(t, h, "POST", "/api/drain")
	}
	if n := strings.Count(log.String(), "\n"); n > 10 {
		t.Errorf("strangers cause %d lines", n)
	}
}

// Requests of this machine need no token where local says so. A proxy on it forwards others' requests.
func TestLocal(t *testing.T) { synctest.Test(t, testLocalIn) } // wrong tokens wait

func testLocalIn(t *testing.T) {
	t.Helper()
	for _, tt := range []struct {
		local  Rights
		tokens bool
		header []string
		get    int
		post   int
	}{
		{RightsOperate, false, nil, 200, 202},
		{RightsRead, false, nil, 200, 403},
		{RightsNone, false, nil, 403, 403},
		{RightsOperate, true, nil, 200, 202},
		{RightsRead, true, nil, 200, 403},
		{RightsNone, true, nil, 401, 401},
		{RightsOperate, true, []string{"Remote", "192.0.2.1:4000"}, 401, 401},
		{RightsOperate, true, []string{"Remote", "[::1]:4000"}, 200, 202},
		{RightsOperate, true, []string{"Host", "flowbridge.example.com"}, 401, 401},
		{RightsOperate, true, []string{"X-Forwarded-For", "192.0.2.1"}, 401, 401},
		{RightsOperate, false, []string{"X-Forwarded-For", "192.0.2.1"}, 403, 403},
		{RightsOperate, false, []string{"Forwarded", "for=192.0.2.1"}, 403, 403},
		{RightsOperate, true, []string{"Authorization", "Bearer wrong"}, 401, 401},
	} {
		opts, log := staffed()
		opts.Access = func() Access {
			if tt.tokens {
				return Access{Tokens: staff, Local: tt.local}
			}
			return Access{Local: tt.local}
		}
		h := New(opts)
		if res, body := do(t, h, "GET", "/api/calls", tt.header...); res.StatusCode != tt.get {
			t.Errorf("%+v: GET %d %s", tt, res.StatusCode, body)
		}
		res, body := do(t, h, "POST", "/api/drain", tt.header...)
		if res.StatusCode != tt.post {
			t.Errorf("%+v: POST %d %s", tt, res.StatusCode, body)
		}
		if tt.post == 202 && !strings.Contains(log.String(), `"by":"local"`) {
			t.Errorf("%+v: log %s", tt, log)
		}
	}
}

// A refusal names what is wrong: a proxy's header, or another host name, is the cause although admin.local has the right.
func TestRefusalNamesTheCause(t *testing.T) { synctest.Test(t, testRefusalNamesTheCauseIn) } // wrong tokens wait

func testRefusalNamesTheCauseIn(t *testing.T) {
	t.Helper()
	for _, tt := range []struct {
		local  Rights
		tokens bool
		header []string
		want   string // in the answer's error
		logged string
	}{
		{RightsOperate, false, []string{"X-Forwarded-For", "1.2.3.4"}, "the request has the header X-Forwarded-For", "the header X-Forwarded-For"},
		{RightsOperate, false, []string{"X-Real-Ip", "1.2.3.4"}, "the request has the header X-Real-IP", "the header X-Real-IP"},
		{RightsRead, true, []string{"Forwarded", "for=1.2.3.4"}, "the request has the header Forwarded", "the header Forwarded"},
		{RightsOperate, true, []string{"Host", "pbx.example"}, `the request names the host \"pbx.example\"`, "the host"},
		{RightsNone, false, []string{"X-Forwarded-For", "1.2.3.4"}, "there is no token", "no token, or a wrong one"},
		{RightsNone, true, []string{"X-Forwarded-For", "1.2.3.4"}, "the bearer token is missing or wrong", "no token, or a wrong one"},
		{RightsOperate, true, []string{"X-Forwarded-For", "1.2.3.4", "Authorization", "Bearer wrong"}, "the bearer token is missing or wrong", "no token, or a wrong one"},
		{RightsOperate, true, []string{"Remote", "192.0.2.1:4000"}, "the bearer token is missing or wrong", "no token, or a wrong one"},
	} {
		opts, log := staffed()
		opts.Access = func() Access {
			if tt.tokens {
				return Access{Tokens: staff, Local: tt.local}
			}
			return Access{Local: tt.local}
		}
		_, body := do(t, New(opts), "GET", "/api/calls", tt.header...)
		if !strings.Contains(body, tt.want) || strings.Contains(body, "change admin.local") != (tt.local == RightsNone && !tt.tokens) {
			t.Errorf("%+v: got %s", tt, body)
		}
		if !strings.Contains(log.String(), tt.logged) {
			t.Errorf("%+v: log %s", tt, log)
		}
	}
}

// A browser that sends a request for a web page of another origin gets nothing done, reading included: a profile costs
// seconds, a list of records the disk.
func TestWebPagesGetNothing(t *testing.T) {
	opts, _ := staffed()
	opts.Access = local(RightsOperate)
	operator, control := &fakeOperator{}, &fakeControl{}
	opts.Operator, opts.Control = operator, control
	h := New(opts)
	paths := map[string]string{
		"/debug/pprof/profile?seconds=1": "GET", "/debug/pprof/heap": "GET", "/api/cdrs?limit=1000": "GET", "/api/calls": "GET", "/readyz": "GET",
		"/api/recordings/a.wav": "GET", "/api/drain": "POST", "/api/calls/live/hangup": "POST",
	}
	for path, method := range paths {
		for _, header := range [][]string{
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site"},
			{"Sec-Fetch-Site", "nonsense"},
			{"Origin", "https://evil.example"},
			{"Origin", "null"},
			{"Origin", "http://127.0.0.1:9090"},
			{"Origin", "http://localhost:8080"},
			{"Host", "evil.example:8080"},
			{"Host", "evil.example:8080", "Sec-Fetch-Site", "same-origin"}, // DNS rebinding
		} {
			if res, body := do(t, h, method, path, header...); res.StatusCode != http.StatusForbidden || !strings.Contains(body, "remedy") {
				t.Errorf("%s %s with %v: %d %.80s", method, path, header, res.StatusCode, body)
			}
		}
	}
	if operator.drains+len(control.asked) != 0 {
		t.Errorf("%d drains, %v", operator.drains, control.asked)
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "none"}, {"Sec-Fetch-Site", "same-origin"}, {"Origin", "http://127.0.0.1:8080"}} {
		if res, body := do(t, h, "GET", "/api/calls", header...); res.StatusCode != 200 {
			t.Errorf("with %v: %d %s", header, res.StatusCode, body)
		}
	}
}

// Profiles are bounded.
func TestProfiles(t *testing.T) {
	opts, _ := staffed()
	opts.Access = local(RightsOperate)
	for target, want := range map[string]int{
		"/debug/pprof/cmdline": 404, "/debug/pprof/heap": 200, "/debug/pprof/profile?seconds=121": 400, "/debug/pprof/profile?seconds=-1": 400,
		"/debug/pprof/heap?seconds=1e9": 400,
	} {
		if res, body := do(t, New(opts), "GET", target); res.StatusCode != want {
			t.Errorf("%s: %d %.80s; want %d", target, res.StatusCode, body, want)
		}
	}
	if res, _ := do(t, New(opts), "POST", "/debug/pprof/heap"); res.StatusCode != 405 {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

// A hangup answers with the call as it ended, also when it has ended before.
func TestHangup(t *testing.T) {
	opts, _ := fixture()
	control := &fakeControl{}
	opts.Control = control
	h := New(opts)
	res, body := post(t, h, "/api/calls/live/hangup", "")
	if res.StatusCode != 200 || !json.Valid([]byte(body)) || len(control.asked) != 1 || control.asked[0] != "live hangup" {
		t.Errorf("%d %s, asked %v", res.StatusCode, body, control.asked)
	}
	control.err = ErrNoCall
	if res, body := post(t, h, "/api/calls/done/hangup", ""); res.StatusCode != 200 || !strings.Contains(body, `"phase":"ended"`) || !strings.Contains(body, `"id":"done"`) {
		t.Errorf("a finished call: %d %s", res.StatusCode, body)
	}
	if res, body := post(t, h, "/api/calls/none/hangup", ""); res.StatusCode != 404 || !strings.Contains(body, "remedy") {
		t.Errorf("no call: %d %s", res.StatusCode, body)
	}
	if res, _ := do(t, h, "GET", "/api/calls/live/hangup"); res.StatusCode != 405 {
		t.Errorf("GET: %d", res.StatusCode)
	}
}
