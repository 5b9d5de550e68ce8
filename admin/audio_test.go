package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/store/record"
)

// fakeAudio is a live call that says a word until it is ended.
type fakeAudio struct {
	ended chan struct{}
	once  sync.Once
	why   error
	words chan string // nil: it says one word, and then the call ends
}

func (f *fakeAudio) End(why error) { f.once.Do(func() { f.why = why; close(f.ended) }) }

func (f *fakeAudio) Stream(w io.Writer) {
	for {
		if _, err := io.WriteString(w, "word"); err != nil {
			f.End(err)
		}
		if f.words == nil {
			return
		}
		select {
		case <-f.words:
		case <-f.ended:
			return
		}
	}
}

// listeningNode is a node whose live calls may be heard by bob.
func listeningNode(heard *fakeAudio) (o Options, asked *[]ListenRequest) {
	o, _ = fixture()
	o.Control, o.Access = &fakeControl{}, func() Access { return Access{Tokens: staff, Local: RightsOperate} }
	asked = &[]ListenRequest{}
	o.Listen = func(_ context.Context, id string, q ListenRequest) (Audio, error) {
		switch id {
		case "live":
			*asked = append(*asked, q)
			heard.ended = make(chan struct{})
			return heard, nil
		case "old":
			return nil, &RefusedError{Problem: "the call is not answered yet", Remedy: "wait"}
		}
		return nil, ErrNoCall
	}
	return o, asked
}

// TestListen: only a token with the right listen hears a call, and each refusal says why.
func TestListen(t *testing.T) {
	heard := &fakeAudio{}
	opts, asked := listeningNode(heard)
	h := New(opts)
	bob := []string{"Authorization", "Bearer bbb"}
	for _, tt := range []struct {
		path   string
		header []string
		status int
		want   string
	}{
		{"/api/calls/live/audio", bob, 200, "word"},
		{"/api/calls/live/audio?side=b&announce=beep", bob, 200, "word"},
		{"/api/calls/live/audio?side=c", bob, 400, "side is unknown"},
		{"/api/calls/live/audio?sides=a", bob, 400, "the parameters are side, announce"},
		{"/api/calls/live/audio", nil, 403, "never may"},
		{"/api/calls/live/audio", []string{"Authorization", "Bearer aaa"}, 403, "listen: true"},
		{"/api/calls/live/audio", []string{"Remote", "192.0.2.1:4000"}, 401, "token"},
		{"/api/calls/old/audio", bob, 409, "not answered yet"},
		{"/api/calls/done/audio", bob, 404, "is live"},
		{"/api/calls/none/audio", bob, 404, "no call"},
	} {
		res, body := do(t, h, "GET", tt.path, tt.header...)
		if res.StatusCode != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %v: %d %s; want %d %q", tt.path, tt.header, res.StatusCode, body, tt.status, tt.want)
		}
	}
	if want := (ListenRequest{By: "bob", Sides: "b", Sound: "beep"}); len(*asked) != 2 || (*asked)[1] != want || (*asked)[0].Sides != "ab" {
		t.Errorf("asked were %+v", *asked)
	}
	if !errors.Is(heard.why, errLeft) {
		t.Errorf("it ended with %v", heard.why)
	}
}

// TestListenerEnds: a listener whose token is taken away, or who leaves, is ended. There is a bound on listeners.
func TestListenerEnds(t *testing.T) {
	var mu sync.Mutex
	tokens := staff
	calls := make(chan *fakeAudio, maxListeners)
	at := served(t, func(o *Options) {
		o.Control = &fakeControl{}
		o.Access = func() Access { mu.Lock(); defer mu.Unlock(); return Access{Tokens: tokens} }
		o.Listen = func(context.Context, string, ListenRequest) (Audio, error) {
			f := &fakeAudio{ended: make(chan struct{}), words: make(chan string)}
			calls <- f
			return f, nil
		}
	})
	listens := func(ctx context.Context) *http.Response {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+at+"/api/calls/live/audio", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer bbb")
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		return res
	}
	ctx, leave := context.WithCancel(t.Context())
	var all []*fakeAudio
	for range maxListeners {
		res := listens(ctx)
		word := make([]byte, 4)
		if _, err := io.ReadFull(res.Body, word); err != nil || res.Header.Get("Content-Type") != "audio/wav" {
			t.Fatalf("%s %v", res.Status, err)
		}
		all = append(all, <-calls)
		defer func() { _ = res.Body.Close() }()
	}
	if res := listens(t.Context()); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s", res.Status)
	}
	mu.Lock()
	tokens = staff[:1]
	mu.Unlock()
	all[0].words <- "more"
	<-all[0].ended
	if !strings.Contains(all[0].why.Error(), "the token no longer allows it") {
		t.Errorf("without its token: %v", all[0].why)
	}
	leave()
	for _, f := range all[1:] {
		<-f.ended
		if !errors.Is(f.why, errLeft) {
			t.Errorf("it has left: %v", f.why)
		}
	}
	mu.Lock()
	tokens = staff
	mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; {
		res := listens(t.Context())
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK || time.Now().After(deadline) {
			if res.StatusCode != http.StatusOK {
				t.Errorf("their places are not free again: %s", res.Status)
			}
			return
		}
	}
}

// heardParts is an answer whose parts are given on when they are flushed.
type heardParts struct {
	deadlines
	part  []byte
	parts chan string
	reads []time.Time // deadlines
}

func (h *heardParts) Write(b []byte) (int, error) { h.part = append(h.part, b...); return len(b), nil }

func (h *heardParts) SetReadDeadline(at time.Time) error { h.reads = append(h.reads, at); return nil }

func (h *heardParts) FlushError() error { h.parts <- string(h.part); h.part = nil; return nil }

// TestListenElsewhere: a listener at one node hears a call of another as it is said, until the listener leaves.
func TestListenElsewhere(t *testing.T) {
	heard := &fakeAudio{words: make(chan string)}
	theirs, asked := listeningNode(heard)
	at := served(t, func(o *Options) { o.Access, o.Control, o.Listen = theirs.Access, theirs.Control, theirs.Listen })
	ours, _ := listeningNode(nil)
	ours.Calls = fakeCalls{}
	ours.Listen = func(context.Context, string, ListenRequest) (Audio, error) { return nil, ErrNoCall }
	ours.Nodes = &fakeNodes{
		at:    map[string]Where{"edge-2": {There: true, API: "http://" + at}},
		calls: []Call{{Record: record.Record{ID: "live", Node: "edge-2", StartedAt: start}, Phase: "bridged"}},
	}
	ctx, leave := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", "http://127.0.0.1:8080/api/calls/live/audio?side=b", nil)
	r.Header.Set("Authorization", "Bearer bbb")
	w, over := &heardParts{deadlines: deadlines{header: http.Header{}}, parts: make(chan string)}, make(chan struct{})
	go func() { defer close(over); New(ours).ServeHTTP(w, r) }()
	for i := range 3 {
		if i > 0 {
			heard.words <- "more"
		}
		select {
		case got := <-w.parts:
			if got != "word" {
				t.Errorf("part %d: %q", i, got)
			}
		case <-over:
			t.Fatalf("it is over: %s", w.part)
		}
	}
	if len(w.reads) == 0 || !w.reads[len(w.reads)-1].IsZero() {
		t.Errorf("the deadlines for reading are %v; want none", w.reads)
	}
	leave()
	<-over
	<-heard.ended
	if want := (ListenRequest{By: "bob", Sides: "b"}); !errors.Is(heard.why, errLeft) || len(*asked) != 1 || (*asked)[0] != want {
		t.Errorf("it ended with %v; asked were %+v", heard.why, *asked)
	}
}

// One token can't take all places of listeners where others may listen, too.
func TestSharesOfListeners(t *testing.T) {
	l := listeners{by: map[string]int{}}
	tokens := []Token{{Name: "anna", Listen: true}, {Name: "bob", Listen: true}, {Name: "carl"}}
	for name, want := range map[string]int{"anna": maxListeners / 2, "bob": maxListeners / 2} {
		got := 0
		for l.take(name, tokens) {
			got++
		}
		if got != want {
			t.Errorf("%s has %d; want %d", name, got, want)
		}
	}
	l.free("anna")
	if l.take("bob", tokens) || !l.take("anna", tokens) || l.all != maxListeners {
		t.Errorf("%+v", &l)
	}
}
