package admin

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxListeners is how many people may hear live calls of this node at a time.
const maxListeners = 16

// listeners are the people who hear live calls now, by the name of their token.
type listeners struct {
	mu  sync.Mutex // guards the fields below
	all int
	by  map[string]int
}

// take takes a place, and reports whether one was free. Where several tokens may listen, one has at most half of them.
func (l *listeners) take(name string, tokens []Token) bool {
	most, may := maxListeners, 0
	for _, t := range tokens {
		if t.Listen {
			may++
		}
	}
	if may > 1 {
		most /= 2
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxListeners || l.by[name] >= most {
		return false
	}
	l.all++
	l.by[name]++
	return true
}

func (l *listeners) free(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.by[name]--; l.by[name] == 0 {
		delete(l.by, name)
	}
}

// listenPatience is how long a write to a listener may block. The call's buffer has room for the audio of that time.
const listenPatience = 4 * time.Second

// ListenRequest asks to hear a live call.
type ListenRequest struct {
	By    string // the sender's name
	Sides string // a, b, or both as ab
	Sound string // what both sides hear before; empty: nothing
}

// Audio is a live call that is heard.
type Audio interface {
	// Stream writes WAV until the call ends, a write fails, or the call ends the stream.
	Stream(w io.Writer)
	// End ends the stream. Only the first reason counts.
	End(why error)
}

// errLeft means that a listener's connection is gone.
var errLeft = errors.New("the listener has left")

// audio lets a sender hear a live call.
func (a *api) audio(w http.ResponseWriter, r *http.Request, who sender) {
	if !a.isMethod(w, r, http.MethodGet) {
		return
	}
	q, bad := parseQuery(r.URL.RawQuery, "side", "announce")
	side := cmp.Or(q["side"], "ab")
	if bad == nil && side != "a" && side != "b" && side != "ab" {
		bad = &failure{"side is unknown: " + quoted(side), "write a for the caller, b for the called side, or leave it out for both"}
	}
	switch {
	case bad != nil:
		a.write(w, http.StatusBadRequest, bad)
		return
	case !who.listens:
		a.refused(r, who.name, "it needs listen: true")
		a.fail(w, http.StatusForbidden, "listening needs a token that allows it",
			"write listen: true beside the token's rights in admin.tokens; requests without a token never may")
		return
	case !a.listening.take(who.name, a.Access().Tokens):
		w.Header().Set("Retry-After", "5")
		a.fail(w, http.StatusTooManyRequests,
			"there are "+strconv.Itoa(maxListeners)+" listeners already, or half as many by this token",
			"end one, or wait")
		return
	}
	defer a.listening.free(who.name)
	heard, err := a.Listen(r.Context(), r.PathValue("id"), ListenRequest{By: who.name, Sides: side, Sound: q["announce"]})
	if errors.Is(err, ErrNoCall) {
		c, other, known := a.locate(w, r)
		if !known || other && a.elsewhere(w, r, c.Node) { // it has been answered
			return
		}
	}
	if err != nil {
		a.answered(w, r, 0, nil, Call{}, err)
		return
	}
	defer heard.End(errLeft)
	w.Header().Set("Content-Type", "audio/wav")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not buffer it
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // the server's deadline would end the request
	stop := context.AfterFunc(r.Context(), func() { heard.End(errLeft) })
	defer stop()
	heard.Stream(listenerWriter{a, w, r, conn, who})
}

// listenerWriter sends a live call to a listener, for as long as the listener reads it and may hear it.
type listenerWriter struct {
	api  *api
	to   io.Writer
	from *http.Request
	conn *http.ResponseController
	who  sender
}

// Write sends a part.
func (l listenerWriter) Write(b []byte) (int, error) {
	if now, known := l.api.identify(l.from); !known || now != l.who {
		return 0, errors.New("the token no longer allows it")
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(listenPatience))
	n, err := l.to.Write(b)
	if err == nil {
		err = l.conn.Flush()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errors.New("the listener does not read")
	}
	if err != nil {
		return n, errLeft
	}
	return n, nil
}

// IsAudio reports whether a path serves a live call's audio. Such a request lasts until the call ends.
func IsAudio(path string) bool {
	return strings.HasPrefix(path, "/api/calls/") && strings.HasSuffix(path, "/audio")
}
