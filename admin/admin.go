package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// phaseEnded is the phase of a finished call.
const phaseEnded = "ended"

// Call is a call in the API's form: its record so far, and its phase.
type Call struct {
	record.Record
	// Phase is preparing, queued, dialing, bridged or ending. It is ended for a finished call.
	Phase string `json:"phase"`
	// Position is the caller's position, from 1, in its route's queue. It is 0 if the caller does not wait for a target.
	Position int `json:"position,omitempty"`
	// Recording is off, on, paused or failed. It is empty for a finished call.
	Recording string `json:"recording,omitempty"`
	// Masked says that the caller's keys are masked.
	Masked bool `json:"masked,omitempty"`
	// OnHold says that an order has put the caller on hold.
	OnHold bool `json:"on_hold,omitempty"`
	// Transfer is the last transfer of a live call.
	Transfer *record.Transfer `json:"transfer,omitempty"`
	// Held lists the sides, a and b, that have put the call on hold: they want no media.
	Held []string `json:"held,omitempty"`
	// Hears has the tone or sound that Flowbridge plays to a side, by side: a or b.
	Hears map[string]string `json:"hears,omitempty"`
	// Transcodes says what is made of what between the sides, as "opus <-> PCMU".
	Transcodes string `json:"transcodes,omitempty"`
	// Speaks lists the parties, caller and agent, that are speaking now, if the conversation is measured.
	Speaks []string `json:"speaks,omitempty"`
	// Seat is the seat of a live call at another node. The record names that node.
	Seat string `json:"seat,omitempty"`
}

// Calls provides the live calls.
type Calls interface {
	Live(ctx context.Context) []Call
	Find(ctx context.Context, id string) (Call, bool)
}

// Records provides the finished calls.
type Records interface {
	List(ctx context.Context, f record.Filter) ([]record.Record, string, error)
	Get(ctx context.Context, id string) (record.Record, bool, error)
}

// Options are the parts that New serves.
type Options struct {
	Calls   Calls
	Records Records
	// Fleet provides the finished calls of all nodes. If it is nil, there is no fleet.
	Fleet Records
	// Nodes provides the other nodes. If it is nil, /api/fleet does not exist, and data of other nodes is not found.
	Nodes Nodes
	// Ready returns an error while no calls are accepted. If it is nil, the node is always ready.
	Ready func() error
	// Requests registers the requests in progress. If it is nil, they are not registered.
	Requests *Requests
	// Troubles returns the problems of a process that nevertheless continues, as lines for /healthz. If it is nil, there
	// are none.
	Troubles func() []string
	// Status returns the node at a glance. If it is nil, /api/status doesn't exist.
	Status func() Status
	// Operator drains and reloads. If it is nil, /api/drain and /api/reload don't exist.
	Operator Operator
	// Eraser erases calls. If it is nil, /api/erasures doesn't exist.
	Eraser Eraser
	// Seats takes and moves the node's seat. If it is nil, the node has no seat.
	Seats Seats
	// Control places calls and gives orders to live calls. If it is nil, these paths don't exist.
	Control Control
	// Listen adds a listener to a live call. It returns the errors of Control. If Listen is nil, /api/calls/{id}/audio
	// does not exist.
	Listen func(ctx context.Context, id string, q ListenRequest) (Audio, error)
	// Browsers places the calls of browsers. If it is nil, /api/browser-calls does not exist.
	Browsers Browsers
	// Weights pins the weights of a route's split for the sender by, or releases them if weights is nil. If it is nil,
	// /api/routes/{name}/weights does not exist.
	Weights func(ctx context.Context, route, by string, weights map[string]int) *RefusedError
	// Figures provides statistics and targets. If it is nil, /api/stats and /api/targets don't exist.
	Figures Figures
	// Report starts a comparison by a word. Its error names the valid words. If it is nil, /api/report does not exist.
	Report func(by string) (Report, error)
	// Registrations returns all registrations. If it is nil, /api/registrations does not exist.
	Registrations func() Registrations
	// Media says what carries RTP, for /healthz. If it is nil, /healthz omits it.
	Media func() live.Media
	// Metrics serves /metrics. If it is nil, the path does not exist.
	Metrics http.Handler
	// Leveller changes the log level. If it is nil, /api/log does not exist.
	Leveller Leveller
	// Recordings provides the files of recordings. If it is nil, this node has none.
	Recordings Recordings
	// Events reports changes. If it is nil, /api/events does not exist, and the page shows no live calls.
	Events *Events
	// Ladders provides the ladders of calls. If it is nil, /api/calls/{id}/ladder does not exist.
	Ladders Ladders
	// Access returns the current access rules. It is called for each request.
	Access func() Access
	// Log receives the errors that a client can't correct.
	Log zerolog.Logger
}

// maxBody bounds how much of a request's body is read, in bytes.
const maxBody = 64 << 10

// New returns the handler of all routes.
func New(opts Options) http.Handler {
	a, mux := newAPI(opts)
	return a.guard(mux)
}

func newAPI(opts Options) (*api, *router) {
	a := &api{
		Options: opts, strangers: httpd.Strangers(opts.Log), profiling: make(httpd.Places, 1),
		exporting: make(httpd.Places, maxExports), reporting: make(httpd.Places, 1),
		following: make(httpd.Places, maxReaders),
		listening: listeners{by: map[string]int{}},
	}
	mux := &router{ServeMux: http.NewServeMux()}
	mux.HandleFunc("/healthz", anyone(a.reads(a.healthz)))
	mux.HandleFunc("/readyz", anyone(a.reads(a.readyz)))
	a.serveControl(mux)
	mux.HandleFunc("/api/calls/{id}", a.bare(a.call))
	mux.HandleFunc("/api/calls/{id}/recordings", a.bare(a.callRecordings))
	mux.HandleFunc("/api/cdrs", a.closed(a.cdrs))
	mux.HandleFunc("/api/openapi.json", a.bare(a.openapi))
	if a.Leveller != nil {
		level := a.shows(func() any { return a.Leveller.LogLevel() })
		mux.HandleFunc("/api/log", a.showOrChange(level, a.operate(a.setLogLevel)))
	}
	if a.Metrics != nil {
		mux.HandleFunc("/metrics", a.closed(a.Metrics.ServeHTTP))
	}
	if a.Figures != nil {
		mux.HandleFunc("/api/stats", a.shows(func() any { return a.Figures.Stats() }))
		mux.HandleFunc("/api/targets", a.shows(func() any { return page[live.Target]{Items: a.Figures.Targets()} }))
		mux.HandleFunc("/api/history", a.shows(func() any { return a.Figures.History(false) }))
		mux.HandleFunc("/api/history/day", a.shows(func() any { return a.Figures.History(true) }))
	}
	if a.Weights != nil {
		mux.HandleFunc("/api/routes/{name}/weights", a.operateAs(a.weights, http.MethodDelete))
	}
	if a.Report != nil {
		mux.HandleFunc("/api/report", a.closed(a.report))
	}
	if a.Registrations != nil {
		mux.HandleFunc("/api/registrations", a.shows(func() any { return a.Registrations() }))
	}
	if a.Events != nil {
		mux.HandleFunc("/api/events", a.allowed(RightsRead, func(w http.ResponseWriter, r *http.Request, who sender) {
			a.reads(func(w http.ResponseWriter, r *http.Request) { a.events(w, r, who) })(w, r)
		}))
	}
	a.serveSeats(mux)
	a.serveBrowsers(mux)
	if a.Ladders != nil {
		mux.HandleFunc("/api/calls/{id}/ladder", a.bare(a.ladder))
		mux.HandleFunc("/api/calls/{id}/capsule", a.bare(a.capsule))
	}
	if a.Nodes != nil {
		mux.HandleFunc("/api/fleet", a.bare(a.fleet))
	}
	mux.HandleFunc("/api/recordings/{name...}", a.bare(a.recording))
	a.serveOperator(mux)
	mux.HandleFunc("/debug/pprof/", a.profiles())
	a.servePage(mux)
	mux.HandleFunc("/", a.allowed(RightsRead, func(w http.ResponseWriter, r *http.Request, _ sender) {
		if !a.standsBy(w, r) && a.isMethod(w, r, http.MethodGet, http.MethodHead) {
			a.fail(w, http.StatusNotFound, "no such path", "/api/openapi.json has all paths")
		}
	}))
	return a, mux
}

// serveOperator adds the routes about the process, its configuration and its files.
func (a *api) serveOperator(mux *router) {
	if a.Status != nil {
		mux.HandleFunc("/api/status", a.shows(func() any { return a.Status() }))
	}
	if a.Operator != nil {
		mux.HandleFunc("/api/drain", a.operate(a.withoutFields(a.drain)))
		mux.HandleFunc("/api/reload", a.operate(a.withoutFields(a.reload)))
		mux.HandleFunc("/api/config", a.bare(a.configuration))
		mux.HandleFunc("/api/upgrade", a.operate(a.withoutFields(a.upgrade)))
	}
	if a.Eraser != nil {
		mux.HandleFunc("/api/erasures", a.operateAs(a.erase))
	}
}

// api is the constant part of the handler.
type api struct {
	Options

	strangers zerolog.Logger // log for lines that anyone can provoke
	profiling httpd.Places   // places for profiles
	exporting httpd.Places   // places for exports
	reporting httpd.Places   // places for reports
	following httpd.Places   // places for readers of one call's events
	listening listeners      // places for listeners
	talking   talking
	placing   sync.Map // a chan struct{} for each running request with an idempotency key, by the id of its call
}

// guard wraps every route. It sets headers and checks the size and origin of a request. A panic ends only one answer.
func (a *api) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		secure(h)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if !strings.HasPrefix(r.URL.Path, "/") { // a CONNECT request
			h.Set("Connection", "close")
			a.fail(w, http.StatusBadRequest, "the request has no path", "send it to a path, like /api/calls")
			return
		}
		if foreign(r) && !opensPage(r) {
			a.refused(r, "unknown", "a web page of another origin sent it")
			h.Set("Connection", "close")
			a.fail(w, http.StatusForbidden, "the request comes from a web page of another origin",
				"send it from a program, like curl")
			return
		}
		if len(a.Access().Tokens) == 0 && !isUnix(r) && !isLoopback(r.Host) {
			a.refused(r, "unknown", "the Host header names no loopback address")
			h.Set("Connection", "close")
			a.fail(w, http.StatusForbidden, "the Host header names no loopback address",
				"use http://127.0.0.1 or http://localhost, or set admin.token_file and send the token")
			return
		}
		defer func() {
			if p := recover(); p != nil {
				a.Log.Error().Interface("panic", p).Str("path", r.URL.Path).Msg("admin request panicked")
				a.fail(w, http.StatusInternalServerError, "internal error", "see the log")
			}
		}()
		defer a.Requests.begin(r)()
		next.ServeHTTP(w, r)
	})
}

// permissions is the Permissions-Policy of all answers but the page.
const permissions = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

// secure sets headers that keep browsers from doing more with an answer than showing it. A page replaces its
// Content-Security-Policy. The proxy that has the certificate sets Strict-Transport-Security.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// reads serves GET.
func (a *api) reads(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.isMethod(w, r, http.MethodGet, http.MethodHead) {
			next(w, r)
		}
	}
}

// isMethod reports whether a request has one of its path's methods. If not, it answers the request; the answer to
// OPTIONS lists the methods.
func (a *api) isMethod(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	if slices.Contains(allowed, r.Method) {
		return true
	}
	if a.standsBy(w, r) {
		return false
	}
	w.Header().Set("Allow", strings.Join(append(allowed, http.MethodOptions), ", "))
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return false
	}
	a.fail(w, http.StatusMethodNotAllowed, "method "+quoted(r.Method)+" is not allowed here", "use "+allowed[0])
	return false
}

// standsBy answers a request that a standby can't serve because another node has the calls. It reports whether it
// answered.
func (a *api) standsBy(w http.ResponseWriter, r *http.Request) bool {
	if a.Control != nil || a.Ready == nil || r.Method == http.MethodOptions || !strings.HasPrefix(r.URL.Path, "/api/") {
		return false
	}
	err := a.Ready()
	if err != nil {
		a.fail(w, http.StatusServiceUnavailable, err.Error(), "ask the node that has the seat: flowbridge fleet lists them")
	}
	return err != nil
}

// anyone serves unknown senders, one request per connection.
func anyone(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		next(w, r)
	}
}

// closed serves GET to senders that may read.
func (a *api) closed(next http.HandlerFunc) http.HandlerFunc {
	next = a.reads(next)
	return a.allowed(RightsRead, func(w http.ResponseWriter, r *http.Request, _ sender) { next(w, r) })
}

// bare is like closed, for a path without parameters.
func (a *api) bare(next http.HandlerFunc) http.HandlerFunc {
	return a.closed(func(w http.ResponseWriter, r *http.Request) {
		if _, bad := parseQuery(r.URL.RawQuery); bad != nil {
			a.write(w, http.StatusBadRequest, bad)
			return
		}
		next(w, r)
	})
}

// shows serves the result of now.
func (a *api) shows(now func() any) http.HandlerFunc {
	return a.bare(func(w http.ResponseWriter, _ *http.Request) { a.write(w, http.StatusOK, now()) })
}
