package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/store/record"
)

// fakeBrowsers answers each call, and knows two locations.
type fakeBrowsers struct {
	got    []BrowserCall
	gone   []string
	refuse error
}

func (f *fakeBrowsers) Trunk() string { return "browser" }

func (f *fakeBrowsers) Call(_ context.Context, c BrowserCall) (BrowserAnswer, error) {
	f.got = append(f.got, c)
	return BrowserAnswer{Location: "of-anna", CallID: "callid-of-live", SDP: []byte("v=0")}, f.refuse
}

func (f *fakeBrowsers) Hangup(_ context.Context, location string) error {
	f.gone = append(f.gone, location)
	return f.refuse
}

func (f *fakeBrowsers) Read(location string) (callID, by string, err error) {
	switch location {
	case "of-anna":
		return "callid-of-live", "anna", nil
	case "over":
		return "callid-of-over", "anna", nil
	}
	return "", "", ErrNoCall
}

// offer sends an offer.
func offer(t *testing.T, h http.Handler, token, query, kind, body string) reply {
	t.Helper()
	at := "http://127.0.0.1:8080" + browserPath + query
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4000"
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fits(t, http.MethodPost, browserPath, reply{w.Code, w.Header()}, w.Body.String())
	return reply{w.Code, w.Header()}
}

func talkers() (*fakeBrowsers, *Options) {
	opts := everything()
	f := &fakeBrowsers{}
	opts.Browsers = f
	opts.Access = func() Access {
		return Access{Tokens: []Token{
			{Name: "anna", Secret: "aaa", Rights: RightsRead, Calls: 1},
			{Name: "bob", Secret: "bbb", Rights: RightsRead},
			{Name: "carl", Secret: "ccc", Rights: RightsRead, Calls: 2},
			{Name: "dora", Secret: "ddd", Rights: RightsOperate, Calls: 1},
		}}
	}
	return f, &opts
}

// TestBrowserCall: a token with the right calls, and each refusal has its status.
func TestBrowserCall(t *testing.T) {
	f, opts := talkers()
	h := New(*opts)
	const number = "?to=%2B15075785607"
	res := offer(t, h, "aaa", number, "application/sdp", "v=0")
	if res.StatusCode != 201 || res.Header.Get("Location") != browserPath+"/of-anna" ||
		res.Header.Get("Content-Type") != "application/sdp" {
		t.Errorf("got %v", res)
	}
	if len(f.got) != 1 || f.got[0].To != "+15075785607" || f.got[0].By != "anna" || string(f.got[0].Offer) != "v=0" {
		t.Errorf("the call is %v", f.got)
	}
	for name, tt := range map[string]struct {
		token, query, kind, body string
		want                     int
	}{
		"no right":  {"bbb", number, "application/sdp", "v=0", 403},
		"no token":  {"xxx", number, "application/sdp", "v=0", 401},
		"no number": {"aaa", "?to=", "application/sdp", "v=0", 400},
		"a URI":     {"aaa", "?to=sip:x@y", "application/sdp", "v=0", 400},
		"JSON":      {"aaa", number, "application/json", "{}", 415},
		"too long":  {"aaa", number, "application/sdp", strings.Repeat("x", maxBody+1), 413},
		"parameter": {"aaa", number + "&x=1", "application/sdp", "v=0", 400},
	} {
		res := offer(t, h, tt.token, tt.query, tt.kind, tt.body)
		if res.StatusCode != tt.want || name != "no token" && res.Header.Get("Accept-Post") != "application/sdp" {
			t.Errorf("%s: got %v; want %d", name, res, tt.want)
		}
	}
	for refused, after := range map[*RefusedError]string{
		{Problem: "p", Remedy: "r", Status: 422, RetryAfter: time.Second}: "",
		{Problem: "p", Remedy: "r", Status: 503}:                          "10",
		{Problem: "p", Remedy: "r", Status: 503, RetryAfter: time.Minute}: "60",
	} {
		f.refuse = refused
		res := offer(t, h, "aaa", number, "application/sdp", "v=0")
		if res.StatusCode != refused.Status || res.Header.Get("Retry-After") != after {
			t.Errorf("got %v; want %d, and Retry-After %q", res, refused.Status, after)
		}
	}
	if n := len(f.got); n != 4 {
		t.Errorf("%d calls came", n)
	}
}

// TestBrowserCallsOfAToken: a token has as many calls as it may, and other tokens theirs.
func TestBrowserCallsOfAToken(t *testing.T) {
	_, opts := talkers()
	call := func(trunk, from string) Call { return Call{Record: record.Record{ID: "x", Trunk: trunk, From: from}} }
	opts.Calls = fakeCalls{call("browser", "anna"), call("browser", "carl"), call("carrier", "carl")}
	h := New(*opts)
	for token, want := range map[string]int{"aaa": 429, "ccc": 201} {
		res := offer(t, h, token, "?to=1", "application/sdp", "v=0")
		if res.StatusCode != want || (want == 429) != (res.Header.Get("Retry-After") != "") {
			t.Errorf("%s: got %v; want %d", token, res, want)
		}
	}
}

// TestBrowserCallsAtOnce: a call that is being placed counts, once, and another one does not wait for it.
func TestBrowserCallsAtOnce(t *testing.T) {
	var all talking
	place := func(want bool, live ...string) (id string) {
		t.Helper()
		c := BrowserCall{By: "carl"}
		if all.add(&c, 2, live) != want {
			t.Errorf("added: %t", !want)
		}
		return c.ID
	}
	first := place(true)
	second := place(true, first)
	place(false, first, second)
	place(false, first)
	place(false)
	if c := (BrowserCall{By: "anna"}); !all.add(&c, 1, nil) || c.ID == "" {
		t.Error("another token has no call")
	}
	all.remove(first)
	place(false, first)
	place(true)
}

// TestBrowserChange: only its token, or an operator's, hangs up a call, and nothing changes it.
func TestBrowserChange(t *testing.T) {
	f, opts := talkers()
	h := New(*opts)
	for _, tt := range []struct {
		method, path, token string
		want                int
	}{
		{"DELETE", "/of-anna", "aaa", 200},
		{"DELETE", "/of-anna", "ddd", 200},
		{"DELETE", "/of-anna", "ccc", 404},
		{"DELETE", "/of-anna", "bbb", 403},
		{"DELETE", "/forged", "aaa", 404},
		{"PATCH", "/of-anna", "aaa", 501},
		{"PUT", "/of-anna", "aaa", 405},
		{"GET", "/of-anna/events", "ccc", 404},
	} {
		if res, body := do(t, h, tt.method, browserPath+tt.path, "Authorization", "Bearer "+tt.token); res.StatusCode != tt.want {
			t.Errorf("%s %s by %s: got %d %s; want %d", tt.method, tt.path, tt.token, res.StatusCode, body, tt.want)
		}
	}
	if len(f.gone) != 2 {
		t.Errorf("hung up %v", f.gone)
	}
}

// TestBrowserEvents: a call's state comes when it changes, and its end with the cause in words.
func TestBrowserEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := talkers()
		opts.Records = &fakeRecords{records: []record.Record{
			{ID: "done", SIPCallID: "callid-of-over", Cause: "agent_hangup", EndedBy: "agent"},
		}}
		res, body := do(t, New(*opts), "GET", browserPath+"/over/events", "Authorization", "Bearer aaa")
		if res.StatusCode != 200 || !strings.Contains(body, `"phase":"ended"`) || !strings.Contains(body, `"words":"the platform hung up`) {
			t.Errorf("got %d %s", res.StatusCode, body)
		}
		opts.Calls, opts.Records = fakeCalls{}, &fakeRecords{}
		_, body = do(t, New(*opts), "GET", browserPath+"/over/events", "Authorization", "Bearer aaa")
		if !strings.Contains(body, "no longer knows the call") {
			t.Errorf("of an unknown call: %s", body)
		}
	})
}

// TestBrowserEventsOfALiveCall: a reader is told of the call as it is and kept connected, until its token is gone. There
// are places for so many readers.
func TestBrowserEventsOfALiveCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := talkers()
		var access atomic.Pointer[Access]
		before := opts.Access()
		access.Store(&before)
		opts.Access = func() Access { return *access.Load() }
		h := New(*opts)
		follow := func() *listener {
			return listenAt(t, h, browserPath+"/of-anna/events", true, "Authorization", "Bearer aaa")
		}
		first := follow()
		if got := first.next("call"); !strings.Contains(got, `"phase":`) || strings.Contains(got, `"ended"`) {
			t.Errorf("got %s", got)
		}
		first.next("heartbeat")
		for range maxReaders - 1 {
			follow().next("call")
		}
		res, _ := do(t, h, "GET", browserPath+"/of-anna/events", "Authorization", "Bearer aaa")
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("one more: %d", res.StatusCode)
		}
		access.Store(&Access{})
		<-first.ended
	})
}
