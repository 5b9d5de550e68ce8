package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// BrowserCall asks for a call from a browser.
type BrowserCall struct {
	ID    string // the Call-ID that the call must have
	To    string // the number to call
	By    string // the sender's name
	Offer []byte // the browser's SDP
}

// BrowserAnswer is the first description that such a call got.
type BrowserAnswer struct {
	Location string // of the call, below this path
	CallID   string // in SIP
	SDP      []byte
}

// Browsers places the calls of browsers.
type Browsers interface {
	// Trunk returns the name of the trunk that the calls come from, or "" if there is none.
	Trunk() string
	// Call places a call, and returns when it has an answer, early or final. If ctx ends before, the call is
	// cancelled. Its error is a *RefusedError.
	Call(ctx context.Context, c BrowserCall) (BrowserAnswer, error)
	// Hangup ends the call at a location.
	Hangup(ctx context.Context, location string) error
	// Read returns the Call-ID of a call, and the name of its sender. Its error is ErrNoCall for a location that is not of
	// this node.
	Read(location string) (callID, by string, err error)
}

const (
	browserPath = "/api/browser-calls"
	sdpType     = "application/sdp"
	// browserTick is how often a browser's call is polled for its events. unknownAfter is how long a call may be
	// neither live nor on record.
	browserTick  = 250 * time.Millisecond
	unknownAfter = 5 * time.Second
	// retryAfter is when to try again if the B2BUA does not say.
	retryAfter = 10 * time.Second
)

// browserTo is what a browser may call. Routes say what leads to a target.
var browserTo = regexp.MustCompile(`^\+?[0-9A-Za-z._*-]{1,64}$`)

// serveBrowsers serves the calls of browsers, in the form of WHIP (RFC 9725).
func (a *api) serveBrowsers(mux *router) {
	if a.Browsers == nil {
		return
	}
	mux.HandleFunc(browserPath, a.browser(a.browserCall, []string{"to"}, http.MethodPost))
	mux.HandleFunc(browserPath+"/{location}", a.browser(a.browserChange, nil, http.MethodDelete, http.MethodPatch))
	mux.HandleFunc(browserPath+"/{location}/events", a.browser(a.browserEvents, nil, http.MethodGet, http.MethodHead))
}

// browser serves senders that may call from a browser.
func (a *api) browser(next func(http.ResponseWriter, *http.Request, sender), parameters []string, methods ...string,
) http.HandlerFunc {
	return a.allowed(RightsRead, func(w http.ResponseWriter, r *http.Request, who sender) {
		w.Header().Set("Accept-Post", sdpType)
		if !a.isMethod(w, r, methods...) {
			return
		}
		if _, bad := parseQuery(r.URL.RawQuery, parameters...); bad != nil {
			a.write(w, http.StatusBadRequest, bad)
			return
		}
		if who.calls == 0 {
			a.refused(r, who.name, "it needs call: true")
			a.fail(w, http.StatusForbidden, "calling from a browser needs a token that allows it",
				"write call: true beside the token's rights in admin.tokens")
			return
		}
		next(w, r, who)
	})
}

// browserCall places a call.
func (a *api) browserCall(w http.ResponseWriter, r *http.Request, who sender) {
	out := &noted{ResponseWriter: w}
	defer func() { a.logged(r, who, out.status) }()
	c := BrowserCall{To: r.URL.Query().Get("to"), By: who.name}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var err error
	c.Offer, err = io.ReadAll(r.Body)
	switch {
	case err != nil:
		status, problem := bodyProblem(err)
		a.fail(out, status, problem, "send the browser's SDP offer")
		return
	case kind != sdpType:
		a.fail(out, http.StatusUnsupportedMediaType, "the body is not "+sdpType, "send an SDP offer with that Content-Type")
		return
	case !browserTo.MatchString(c.To):
		a.fail(out, http.StatusBadRequest, "to is no number: "+quoted(c.To), "write ?to=%2B15075785607")
		return
	}
	if !a.talking.add(&c, who.calls, a.browserCalls(r.Context(), who.name)) {
		out.Header().Set("Retry-After", "10")
		a.fail(out, http.StatusTooManyRequests,
			"the token "+quoted(who.name)+" has reached its max_calls ("+strconv.Itoa(who.calls)+")",
			"hang up, or set max_calls of the token")
		return
	}
	defer a.talking.remove(c.ID)
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // the answer comes with the agent's, perhaps after minutes
	_ = conn.SetWriteDeadline(time.Time{})
	answer, err := a.Browsers.Call(r.Context(), c)
	if err != nil {
		a.browserRefused(out, err)
		return
	}
	r.SetPathValue("id", answer.CallID) // for the log
	out.Header().Set("Location", browserPath+"/"+answer.Location)
	out.Header().Set("Content-Type", sdpType)
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	out.WriteHeader(http.StatusCreated)
	_, _ = out.Write(answer.SDP) // a browser that has gone: consent_expired ends its call
}

// browserCalls returns the Call-IDs of the live calls that a token has placed from browsers.
func (a *api) browserCalls(ctx context.Context, by string) (ids []string) {
	trunk := a.Browsers.Trunk()
	for _, c := range a.Calls.Live(ctx) {
		if c.Trunk == trunk && c.From == by {
			ids = append(ids, c.SIPCallID)
		}
	}
	return ids
}

// talking has the calls from browsers whose requests have no answer yet. Some of them are among the live calls.
type talking struct {
	mu sync.Mutex
	by map[string]string // names of tokens by Call-ID
}

// add adds a call with an ID, unless its token has limit calls. live are the token's live calls.
func (t *talking) add(c *BrowserCall, limit int, live []string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(live)
	for id, by := range t.by {
		if by == c.By && !slices.Contains(live, id) {
			n++
		}
	}
	if n >= limit {
		return false
	}
	if t.by == nil {
		t.by = map[string]string{}
	}
	c.ID = rand.Text()
	t.by[c.ID] = c.By
	return true
}

func (t *talking) remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.by, id)
}

func (a *api) browserRefused(w http.ResponseWriter, err error) {
	not := &RefusedError{Problem: "the call did not answer: " + err.Error(), Remedy: "try again"}
	errors.As(err, &not)
	status := cmp.Or(not.Status, http.StatusServiceUnavailable)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(int(cmp.Or(not.RetryAfter, retryAfter).Seconds())))
	}
	a.fail(w, status, not.Problem, not.Remedy)
}

// ofBrowser returns the Call-ID of a location whose call is the sender's, or answers the request.
func (a *api) ofBrowser(w http.ResponseWriter, r *http.Request, who sender) (callID string, ok bool) {
	callID, by, err := a.Browsers.Read(r.PathValue("location"))
	if err != nil || by != who.name && who.rights < RightsOperate {
		a.fail(w, http.StatusNotFound, "there is no such call",
			"take the Location that the POST to "+browserPath+" has answered")
		return "", false
	}
	return callID, true
}

// browserChange hangs up. There is no trickle ICE, and no restart (RFC 9725 section 4.3).
func (a *api) browserChange(w http.ResponseWriter, r *http.Request, who sender) {
	if r.Method == http.MethodPatch {
		a.fail(w, http.StatusNotImplemented, "a call's candidates can't be changed",
			"send the whole offer with POST: none are needed")
		return
	}
	id, ok := a.ofBrowser(w, r, who)
	if !ok {
		return
	}
	r.SetPathValue("id", id) // for the log
	if err := a.Browsers.Hangup(r.Context(), r.PathValue("location")); err != nil {
		a.logged(r, who, http.StatusServiceUnavailable)
		a.browserRefused(w, err)
		return
	}
	a.logged(r, who, http.StatusOK)
	a.write(w, http.StatusOK, browserState{Phase: phaseEnded})
}

// browserState is a browser's call as its events tell it.
type browserState struct {
	ID      string   `json:"id,omitempty"`
	Phase   string   `json:"phase"`
	Target  string   `json:"target,omitempty"`
	Speaks  []string `json:"speaks,omitempty"`
	OnHold  bool     `json:"on_hold,omitempty"`
	Cause   string   `json:"cause,omitempty"`
	Words   string   `json:"words,omitempty"` // what the cause means
	EndedBy string   `json:"ended_by,omitempty"`
}

// browserEvents streams how a browser's call goes, until it has ended. It reads what is known of the call, so
// it keeps no state, and the next process can continue it.
func (a *api) browserEvents(w http.ResponseWriter, r *http.Request, who sender) {
	id, ok := a.ofBrowser(w, r, who)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not buffer events
	if r.Method == http.MethodHead {
		return
	}
	if !a.following.Take() {
		w.Header().Set("Retry-After", "5")
		a.fail(w, http.StatusServiceUnavailable, "there are "+strconv.Itoa(maxReaders)+" readers of calls already",
			"close one")
		return
	}
	defer a.following.Free()
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{})
	out := &eventStream{to: &paced{ResponseWriter: w}, conn: conn}
	tick := time.NewTicker(browserTick)
	defer tick.Stop()
	said, at, seen := "", time.Now(), time.Now()
	for out.err == nil {
		now, known := a.browserState(r.Context(), id)
		switch text, _ := json.Marshal(now); {
		case known && string(text) != said:
			out.write(encoded("call", "", now))
			said, at = string(text), time.Now()
		case time.Since(at) > heartbeat:
			if still, is := a.identify(r); !is || still != who {
				return // the reader reconnects and learns why
			}
			out.write(event{text: []byte(":\n\n")})
			at = time.Now()
		}
		out.flush()
		if known {
			seen = time.Now()
		}
		if now.Phase == phaseEnded && (known || time.Since(seen) > unknownAfter) {
			if !known {
				out.write(encoded("call", "", now))
				out.flush()
			}
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// browserState returns the state of a call. It is not known for the moment between a call's end and its record.
func (a *api) browserState(ctx context.Context, callID string) (s browserState, known bool) {
	var c Call
	live := false
	if id, err := a.Control.Called(callID); err == nil {
		c, live = a.Calls.Find(ctx, id)
	}
	if live {
		return browserState{ID: c.ID, Phase: c.Phase, Target: c.Target, Speaks: c.Speaks, OnHold: c.OnHold}, true
	}
	c, known, err := finished(ctx, a.Records, callID)
	if err != nil || !known {
		return browserState{Phase: phaseEnded, Words: "this node no longer knows the call"}, false
	}
	return browserState{
		ID: c.ID, Phase: phaseEnded, Target: c.Target, Cause: c.Cause, EndedBy: c.EndedBy,
		Words: causeWords()[c.Cause].Happened,
	}, true
}

// causeText is a cause's entry in the page's file.
type causeText struct {
	Happened string `json:"happened"`
}

// causeWords returns what the causes mean.
func causeWords() map[string]causeText {
	text, _ := web.ReadFile("web/causes.json") // part of the program
	var all map[string]causeText
	_ = json.Unmarshal(text, &all) // generated, and read by the page, too
	return all
}

// IsEvents reports whether a path serves events, for as long as its client likes.
func IsEvents(path string) bool {
	return path == "/api/events" || strings.HasPrefix(path, browserPath+"/") && strings.HasSuffix(path, "/events")
}
