package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// hello is the first event.
type hello struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	Rights  string `json:"rights"`
	Fleet   bool   `json:"fleet"`
	Listen  bool   `json:"listen"`
	Call    bool   `json:"call"` // calls from a browser are possible
}

// events streams changes until the reader leaves, is too slow, or has lost its rights.
func (a *api) events(w http.ResponseWriter, r *http.Request, who sender) {
	q, bad := parseQuery(r.URL.RawQuery, "calls")
	if bad == nil && q["calls"] != "" && q["calls"] != "0" && q["calls"] != "1" {
		bad = &failure{"calls is neither 0 nor 1: " + quoted(q["calls"]), "calls=0 leaves the calls out"}
	}
	if bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // a proxy must not buffer events
	if r.Method == http.MethodHead {
		return
	}
	me := a.Events.join(a.Calls, q["calls"] != "0", who)
	if me == nil {
		h.Set("Retry-After", "5")
		a.fail(w, http.StatusServiceUnavailable, "there are "+strconv.Itoa(maxReaders)+" readers of events already",
			"close one, or read /api/calls")
		return
	}
	defer a.Events.leave(me)
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // the server's deadline would end the request
	out := &eventStream{to: &paced{ResponseWriter: w}, conn: conn}
	a.begin(r.Context(), out, me, who)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for out.err == nil {
		select {
		case <-r.Context().Done():
			return
		case <-me.wake:
		case <-me.done:
			if _, lagged := me.take(); lagged {
				out.write(encoded("lagged", "", struct{}{}))
				out.flush()
			}
			return
		case <-beat.C:
			if now, known := a.identify(r); !known || now != who {
				return // the reader reconnects and learns why
			}
			out.write(event{text: []byte(":\n\n")})
		}
		events, _ := me.take()
		for _, ev := range events {
			out.write(ev)
		}
		out.flush()
	}
}

// begin sends a new reader the current state.
func (a *api) begin(ctx context.Context, out *eventStream, me *reader, who sender) {
	rights := "read"
	if who.rights >= RightsOperate {
		rights = "operate"
	}
	from := &a.Events.from
	out.write(encoded("hello", "", hello{
		from.Node, from.Version, rights, from.Fleet, a.Listen != nil && who.listens,
		who.calls > 0 && a.Browsers != nil && a.Browsers.Trunk() != "",
	}))
	for _, ev := range a.Events.figures() {
		out.write(ev)
	}
	out.flush()
	if !me.calls {
		return
	}
	chunk := []Call{}
	for _, c := range a.Calls.Live(ctx) {
		chunk = append(chunk, whole(c))
		if len(chunk) == callsChunk {
			out.write(encoded("calls", "", chunk))
			chunk = chunk[:0]
		}
	}
	out.write(encoded("calls", "", chunk))
	out.flush()
}

// eventStream writes events until a write fails.
type eventStream struct {
	to   *paced
	conn *http.ResponseController
	err  error
}

func (s *eventStream) write(ev event) {
	if s.err == nil {
		_, s.err = s.to.Write(ev.text)
	}
}

func (s *eventStream) flush() {
	if s.err == nil {
		s.err = s.conn.Flush()
	}
}
