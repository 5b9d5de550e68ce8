package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"flowbridge/store/record"
)

// fakeNodes are other nodes.
type fakeNodes struct {
	calls  []Call
	hidden int
	at     map[string]Where
	err    error
}

func (f *fakeNodes) Overview(context.Context) (any, error) {
	return map[string]any{"nodes": []any{}, "seats": []any{}, "numbers_differ": false, "secrets_differ": []string{}}, f.err
}

func (f *fakeNodes) Live(context.Context) ([]Call, int, error) { return f.calls, f.hidden, f.err }

func (f *fakeNodes) Find(ctx context.Context, id string) (Call, bool, error) {
	c, ok := fakeCalls(f.calls).Find(ctx, id)
	return c, ok, f.err
}

func (f *fakeNodes) Where(_ context.Context, node string) (Where, error) { return f.at[node], f.err }

var errAway = errors.New("the fleet's database is not reached; does it run?")

// The fleet is shown where there is one, from its database; while that is away, the answer says so.
func TestFleetIsShown(t *testing.T) {
	opts, _ := fixture()
	if res, _ := do(t, New(opts), "GET", "/api/fleet"); res.StatusCode != http.StatusNotFound {
		t.Errorf("without a fleet: %d", res.StatusCode)
	}
	nodes := &fakeNodes{}
	opts.Nodes = nodes
	h := New(opts)
	if res, body := do(t, h, "GET", "/api/fleet"); res.StatusCode != http.StatusOK || !strings.Contains(body, `"seats":[]`) {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
	nodes.err = errAway
	if res, body := do(t, h, "GET", "/api/fleet"); res.StatusCode != http.StatusServiceUnavailable ||
		!strings.Contains(body, errAway.Error()) || !strings.Contains(body, "calls go on") {
		t.Errorf("away: %d %s", res.StatusCode, body)
	}
}

// The live calls of the fleet are this node's and those in the others' seats. States that can't be read are counted. A
// call that this node has itself is there once, as it has it.
func TestLiveCallsOfTheFleet(t *testing.T) {
	opts, _ := fixture()
	get := func(path string, status int, text ...string) string {
		t.Helper()
		res, body := do(t, New(opts), "GET", path)
		if res.StatusCode != status {
			t.Errorf("%s: status %d; want %d", path, res.StatusCode, status)
		}
		for _, s := range text {
			if !strings.Contains(body, s) {
				t.Errorf("%s: got %s; want %s", path, body, s)
			}
		}
		return body
	}
	get("/api/calls?fleet=true", http.StatusBadRequest, "in no fleet")
	other := record.Record{ID: "elsewhere", Node: "edge-2", StartedAt: start}
	nodes := &fakeNodes{hidden: 3, calls: []Call{
		{Record: other, Phase: "bridged", Seat: "west"}, {Record: record.Record{ID: "live", StartedAt: start}, Phase: "ending", Seat: "west"},
	}}
	opts.Nodes = nodes
	body := get("/api/calls?fleet=true", http.StatusOK, `"hidden":3`, `"seat":"west"`, `"id":"old"`, `"phase":"dialing"`)
	if strings.Count(body, `"id":"live"`) != 1 || strings.Contains(body, "ending") {
		t.Errorf("got %s", body)
	}
	if body := get("/api/calls", http.StatusOK); strings.Contains(body, "hidden") || strings.Contains(body, "elsewhere") {
		t.Errorf("this node's: %s", body)
	}
	get("/api/calls?fleet=maybe", http.StatusBadRequest, "neither true nor false")
	get("/api/calls?fleet=true&ids=live", http.StatusBadRequest, "leave one of them out")
	get("/api/calls/elsewhere", http.StatusOK, `"seat":"west"`, `"phase":"bridged"`)
	nodes.err = errAway
	get("/api/calls?fleet=true", http.StatusServiceUnavailable, "is not reached", "leave fleet out")
	get("/api/calls/elsewhere", http.StatusServiceUnavailable, "is not reached")
	get("/api/calls?fleet=false", http.StatusOK)
}

const (
	callThere = "0198c3f1-7f0a-4c1e-9d52-3b6a5f0d2e11"
	fileThere = "2026/11/20/" + callThere + "-2.wav"
)

// here is an API whose fleet has a finished call of edge-2, which is at an address.
func here(t *testing.T, at Where) (Options, http.Handler) {
	t.Helper()
	opts, _ := fixture()
	opts.Access = withToken(RightsRead)
	opts.Ladders = noLadders{}
	opts.Fleet = &fakeRecords{records: []record.Record{{
		ID: callThere, Node: "edge-2", StartedAt: start, Recordings: []record.Recording{{File: fileThere, Format: "wav"}},
	}}}
	opts.Nodes = &fakeNodes{at: map[string]Where{"edge-2": at}}
	return opts, New(opts)
}

// there is the admin API of another node. It notes the requests.
func there(t *testing.T, answer http.HandlerFunc) (at string, asked *[]*http.Request) {
	t.Helper()
	asked = &[]*http.Request{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

const ladderThere = `{"id":"` + callThere + `","lanes":[],"messages":[],"dropped":0,"live":false,"streams":null}`

// What another node has is asked for there, with the sender's token and nothing else of the sender's, and passed on.
func TestElsewhereIsAsked(t *testing.T) {
	url, asked := there(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		if strings.HasPrefix(r.URL.Path, "/api/recordings/") {
			w.Header().Set("Content-Type", "audio/wav")
			w.Header().Set("Content-Range", "bytes 0-3/10")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write([]byte("RIFF"))
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write([]byte(ladderThere))
	})
	_, h := here(t, Where{There: true, API: url})
	bearer := []string{"Authorization", "Bearer s3cret"}
	res, body := do(t, h, "GET", "/api/calls/"+callThere+"/ladder", append(bearer, "Cookie", "c=d")...)
	if res.StatusCode != http.StatusOK || body != ladderThere || res.Header.Get("Set-Cookie") != "" {
		t.Errorf("ladder: %d %v %s", res.StatusCode, res.Header, body)
	}
	res, body = do(t, h, "GET", "/api/recordings/"+fileThere, append(bearer, "Range", "bytes=0-3")...)
	if res.StatusCode != http.StatusPartialContent || body != "RIFF" || res.Header.Get("Content-Range") != "bytes 0-3/10" ||
		res.Header.Get("Content-Type") != "audio/wav" {
		t.Errorf("recording: %d %v %s", res.StatusCode, res.Header, body)
	}
	for i, r := range *asked {
		if r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get(forwardedHeader) == "" || r.Header.Get("Cookie") != "" ||
			passedOn(r) == "" {
			t.Errorf("request %d: %v", i, r.Header)
		}
	}
	if got := *asked; len(got) != 2 || got[1].URL.Path != "/api/recordings/"+fileThere || got[1].Header.Get("Range") != "bytes=0-3" {
		t.Errorf("asked %d times", len(got))
	}
	for _, name := range []string{strings.Replace(fileThere, "-2", "", 1), "x.wav"} { // the record has no such recording
		if res, _ := do(t, h, "GET", "/api/recordings/"+name, bearer...); res.StatusCode != http.StatusNotFound || len(*asked) != 2 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

// Where another node is not asked, or gives nothing, the answer says which node has it, and why.
func TestElsewhereIsNotAnswered(t *testing.T) {
	status := http.StatusOK
	url, asked := there(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", status)
	})
	closed, _ := there(t, nil)
	for _, tt := range []struct {
		name   string
		at     Where
		header []string
		answer int
		status int
		says   string
		asks   int
	}{
		{"vanished", Where{API: url}, nil, 0, 503, "and it is not there", 0},
		{"not reached", Where{There: true}, nil, 0, 404, "don't reach its admin API", 0},
		{"no address", Where{There: true, API: "https://u:p@" + url[7:]}, nil, 0, 404, "don't reach its admin API", 0},
		{"forged", Where{There: true, Unproven: true}, nil, 0, 404, "only the fleet's database says where", 0},
		{"forwarded before", Where{There: true, API: url}, []string{forwardedHeader, "1"}, 0, 404, `node \"edge-2\" has it"`, 0},
		{"itself", Where{Own: true, There: true, API: url}, nil, 0, 404, "there is none", 0},
		{"another token", Where{There: true, API: url}, nil, 401, 403, "refuses the token", 1},
		{"redirected", Where{There: true, API: url}, nil, 302, 502, "answers 302", 1},
		{"broken", Where{There: true, API: url}, nil, 500, 502, "answers 500", 1},
		{"does not listen", Where{There: true, API: closed + "0"}, nil, 0, 503, "does not answer", 0},
	} {
		*asked, status = nil, tt.answer
		_, h := here(t, tt.at)
		res, body := do(t, h, "GET", "/api/calls/"+callThere+"/ladder", append([]string{"Authorization", "Bearer s3cret"}, tt.header...)...)
		if res.StatusCode != tt.status || !strings.Contains(body, tt.says) || len(*asked) != tt.asks {
			t.Errorf("%s: asked %d times, %d %s", tt.name, len(*asked), res.StatusCode, body)
		}
	}
	opts, _ := here(t, Where{There: true, API: url})
	opts.Access = local(RightsRead)
	*asked = nil
	if res, body := do(t, New(opts), "GET", "/api/calls/"+callThere+"/ladder"); res.StatusCode != 404 || len(*asked) > 0 ||
		!strings.Contains(body, "asked only with a token") {
		t.Errorf("without a token: %d %s", res.StatusCode, body)
	}
	opts.Nodes = &fakeNodes{err: errAway}
	if res, body := do(t, New(opts), "GET", "/api/calls/"+callThere+"/ladder"); res.StatusCode != 503 ||
		!strings.Contains(body, `edge-2`) {
		t.Errorf("database away: %d %s", res.StatusCode, body)
	}
}

// Two nodes that each take the other for the one that has a call do not ask in a circle. A token that the other node does
// not know is refused there.
func TestElsewhereEndsThere(t *testing.T) {
	opts, _ := here(t, Where{There: true, API: "http://192.0.2.1:1"})
	for _, tt := range []struct {
		token  string
		status int
		says   string
	}{{"s3cret", 404, `node \"edge-2\" has it","remedy":"ask it there"`}, {"of another", 403, "refuses the token"}} {
		opts.Access = func() Access {
			return Access{Local: RightsOperate, Tokens: []Token{{"bob", tt.token, RightsRead, false, 0}}}
		}
		url, asked := there(t, New(opts).ServeHTTP)
		_, h := here(t, Where{There: true, API: url})
		res, body := do(t, h, "GET", "/api/calls/"+callThere+"/ladder", "Authorization", "Bearer s3cret")
		if res.StatusCode != tt.status || !strings.Contains(body, tt.says) || len(*asked) != 1 {
			t.Errorf("%s: asked %d times, %d %s", tt.token, len(*asked), res.StatusCode, body)
		}
	}
}

// FuzzElsewhere: whatever the database has as the address of a node, a request leads to a host over http, and to no
// other path. Whatever is asked for as a recording, an id in it is one.
func FuzzElsewhere(f *testing.F) {
	f.Add("http://203.0.113.5:8080", "/api/recordings/"+fileThere)
	f.Add("http://[2001:db8::1]:8080", "/api/calls/a%2Fb/ladder")
	f.Add("http://u@h/x?y#z", "//h/../x")
	f.Fuzz(func(t *testing.T, api, path string) {
		if m := recordedCall.FindStringSubmatch(path); m != nil && len(m[1]) != len(callThere) {
			t.Errorf("%q is the id of no call", m[1])
		}
		asked := &url.URL{Path: "/" + path}
		to := urlAt(api, asked)
		if to == "" {
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
		if err != nil {
			return
		}
		if req.URL.Scheme != "http" || req.URL.User != nil || !strings.HasPrefix(api, "http://") ||
			req.URL.Path != asked.Path || req.URL.RawQuery != "" {
			t.Errorf("%q and %q lead to %q", api, path, to)
		}
	})
}
