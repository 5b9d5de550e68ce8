package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

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
	// Token is the bearer token. Default: only loopback hosts are answered.
	Token string
	// Log gets the errors that a client cannot correct.
	Log zerolog.Logger
}

// maxBody bounds what is read of a request's body, in bytes. No request needs one.
const maxBody = 64 << 10

// Server gives an HTTP server with bounds on time and size, to be started by the caller. It logs problems of connections,
// within bounds.
func Server(addr string, h http.Handler, log zerolog.Logger) *http.Server {
	return &http.Server{
		Addr: addr, Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: httpd.ErrorLog(log),
	}
}

// New gives the handler of all routes.
func New(opts Options) http.Handler {
	a := &api{opts}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", a.open(a.healthz))
	mux.HandleFunc("/readyz", a.open(a.readyz))
	mux.HandleFunc("/api/calls", a.closed(a.calls))
	mux.HandleFunc("/api/calls/{id}", a.closed(a.call))
	mux.HandleFunc("/api/calls/{id}/recordings", a.closed(a.callRecordings))
	mux.HandleFunc("/api/cdrs", a.closed(a.cdrs))
	if a.Control != nil {
		mux.HandleFunc("/api/calls/{id}/recording/{order}", a.operate(a.record))
		mux.HandleFunc("/api/calls/{id}/mask", a.operate(a.mask))
		mux.HandleFunc("/api/calls/{id}/play", a.operate(a.play))
	}
	if a.Recordings != nil {
		mux.HandleFunc("/api/recordings/{name...}", a.closed(a.recording))
	}
	if a.Operator != nil {
		mux.HandleFunc("/api/drain", a.operate(a.drain))
		mux.HandleFunc("/api/reload", a.operate(a.reload))
	}
	for path, profile := range map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/profile": pprof.Profile, "/debug/pprof/trace": pprof.Trace,
	} {
		mux.HandleFunc(path, a.closed(profile))
	}
	mux.HandleFunc("/", a.closed(func(w http.ResponseWriter, _ *http.Request) {
		a.fail(w, http.StatusNotFound, "no such path", "see /api/calls, /api/cdrs, /healthz and /readyz")
	}))
	return a.guard(mux)
}

// api is the handler's constant part.
type api struct{ Options }

// guard is around every route: headers, size and host. A panic ends only one answer.
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
		if a.Token == "" && !isLoopback(r.Host) {
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

// open serves GET to everyone.
func (a *api) open(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			a.fail(w, http.StatusMethodNotAllowed, "method "+quoted(r.Method)+" is not allowed here", "use GET")
			return
		}
		next(w, r)
	}
}

// closed serves GET to clients with the token, if there is one.
func (a *api) closed(next http.HandlerFunc) http.HandlerFunc {
	return a.allowed(a.open(next))
}

// allowed serves clients with the token, if there is one.
func (a *api) allowed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.Token != "" && !httpd.Same(httpd.Bearer(r), a.Token) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="flowbridge"`)
			a.fail(w, http.StatusUnauthorized, "the bearer token is missing or wrong",
				"send the header Authorization: Bearer, followed by the token of admin.token_file")
			return
		}
		next(w, r)
	}
}

// isLoopback says whether a Host header names this machine itself.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
