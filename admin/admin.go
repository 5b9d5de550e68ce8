package admin

import (
	"context"
	"net/http"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
	"flowbridge/store"
)

// phaseEnded is the phase of a call that is finished.
const phaseEnded = "ended"

// Call is a call as the API shows it: its record so far, and its phase.
type Call struct {
	store.Record
	// Phase is preparing, dialing, bridged or ending; ended for a finished call.
	Phase string `json:"phase"`
	// Recording is off, on, paused or failed; empty for a finished call.
	Recording string `json:"recording,omitempty"`
	// Masked says that the caller's keys are masked.
	Masked bool `json:"masked,omitempty"`
	// Held are the sides, a and b, that hold the call: they want no media.
	Held []string `json:"held,omitempty"`
	// Hears is the tone or sound that Flowbridge plays to a side, a or b.
	Hears map[string]string `json:"hears,omitempty"`
}

// Calls gives the live calls.
type Calls interface {
	Live(ctx context.Context) []Call
	Find(ctx context.Context, id string) (Call, bool)
}

// Records gives the finished calls.
type Records interface {
	List(ctx context.Context, f store.Filter) ([]store.Record, string, error)
	Get(ctx context.Context, id string) (store.Record, bool, error)
}

// Options says what New serves.
type Options struct {
	Calls   Calls
	Records Records
	// Ready is an error while no calls are accepted. Default: always ready.
	Ready func() error
	// Operator drains and reloads. Default: /api/drain and /api/reload don't exist.
	Operator Operator
	// Control records, masks and plays sounds to live calls. Default: their paths don't exist.
	Control Control
	// Recordings gives the files of recordings. Default: /api/recordings does not exist.
	Recordings Recordings
	// Access says who may do what, at each request anew.
	Access func() Access
	// Log gets the errors that a client cannot correct.
	Log zerolog.Logger
}

// maxBody bounds what is read of a request's body, in bytes.
const maxBody = 64 << 10

// New gives the handler of all routes.
func New(opts Options) http.Handler {
	a := &api{Options: opts, strangers: httpd.Strangers(opts.Log), profiling: make(httpd.Places, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", anyone(a.reads(a.healthz)))
	mux.HandleFunc("/readyz", anyone(a.reads(a.readyz)))
	mux.HandleFunc("/api/calls", a.closed(a.calls))
	mux.HandleFunc("/api/calls/{id}", a.closed(a.call))
	mux.HandleFunc("/api/calls/{id}/recordings", a.closed(a.callRecordings))
	mux.HandleFunc("/api/cdrs", a.closed(a.cdrs))
	if a.Control != nil {
		mux.HandleFunc("/api/calls/{id}/recording/{order}", a.operate(a.record))
		mux.HandleFunc("/api/calls/{id}/mask", a.operate(a.mask))
		mux.HandleFunc("/api/calls/{id}/play", a.operate(a.play))
		mux.HandleFunc("/api/calls/{id}/hangup", a.operate(a.hangup))
	}
	if a.Recordings != nil {
		mux.HandleFunc("/api/recordings/{name...}", a.closed(a.recording))
	}
	if a.Operator != nil {
		mux.HandleFunc("/api/drain", a.operate(a.drain))
		mux.HandleFunc("/api/reload", a.operate(a.reload))
	}
	mux.HandleFunc("/debug/pprof/", a.profiles())
	mux.HandleFunc("/", a.closed(func(w http.ResponseWriter, _ *http.Request) {
		a.fail(w, http.StatusNotFound, "no such path", "see /api/calls, /api/cdrs, /healthz and /readyz")
	}))
	return a.guard(mux)
}

// api is the handler's constant part.
type api struct {
	Options

	strangers zerolog.Logger // for lines that anybody can provoke
	profiling httpd.Places   // the profiles under way
}

// guard is around every route: headers, size, and where the request comes from. A panic ends only one answer.
func (a *api) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if foreign(r) {
			a.refused(r, "unknown", "a web page of another origin sent it")
			h.Set("Connection", "close")
			a.fail(w, http.StatusForbidden, "the request comes from a web page of another origin", "send it from a program, like curl")
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
		next.ServeHTTP(w, r)
	})
}

// reads serves GET.
func (a *api) reads(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			a.fail(w, http.StatusMethodNotAllowed, "method "+quoted(r.Method)+" is not allowed here", "use GET")
			return
		}
		next(w, r)
	}
}

// anyone serves senders that nobody knows: one request for each connection.
func anyone(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		next(w, r)
	}
}

// closed serves GET to senders who may read.
func (a *api) closed(next http.HandlerFunc) http.HandlerFunc {
	next = a.reads(next)
	return a.allowed(RightsRead, func(w http.ResponseWriter, r *http.Request, _ sender) { next(w, r) })
}
