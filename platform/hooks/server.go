package hooks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
)

// Endpoint is a handler with its path.
type Endpoint struct {
	Name    string // name for the log
	Path    string
	Below   bool // requests to paths below Path are served as well
	Handler http.Handler
}

// Options say what Start opens.
type Options struct {
	Listen    netip.AddrPort
	Endpoints []Endpoint
	// Cert and Key are PEM files, which are read again when they change. If they are empty, the server uses plain HTTP.
	Cert, Key string
	Log       zerolog.Logger

	// Listener returns the listener that another process has opened for a configured address, or nil if there is none.
	Listener func(at string) net.Listener
	// Pause can stop the hooks from taking requests for a while; it may be nil.
	Pause *httpd.Pause

	now func() time.Time // replaced in tests; time.Now by default
}

const (
	// maxConnections limits the connections of all sources together.
	maxConnections = 1000
	// maxShare limits the connections from one source, so that it can't take all of them.
	maxShare = 100
	// headerTimeout limits the wait for a request's headers, and for the TLS handshake before them. The endpoint's own
	// time limit starts after that.
	headerTimeout = 2 * time.Second
	// idleTimeout is short, because an idle connection occupies a place that others need.
	idleTimeout = 10 * time.Second
)

// Server is the listener of all endpoints.
type Server struct {
	server   *http.Server
	at       netip.AddrPort
	listener net.Listener
	serving  sync.WaitGroup
	asked    requests
	mux      *atomic.Pointer[http.ServeMux] // routes to the endpoints
}

// Start listens and serves until Close.
func Start(ctx context.Context, o Options) (*Server, error) {
	l, err := listen(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("hooks.listen: %w; another process may have the port, see ss -ltnp", err)
	}
	mux := &atomic.Pointer[http.ServeMux]{}
	mux.Store(muxOf(o.Endpoints))
	for _, e := range o.Endpoints {
		o.Log.Info().Str("hook", e.Name).Stringer("listen", l.Addr()).Str("path", e.Path).Msg("hook listening")
	}
	s, err := serve(ctx, l, guarded(mux.Load, o.Log), o)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.mux = mux
	return s, nil
}

func muxOf(all []Endpoint) *http.ServeMux {
	mux := http.NewServeMux()
	for _, e := range all {
		mux.Handle(e.Path, e.Handler)
		if e.Below {
			mux.Handle(e.Path+"/", e.Handler)
		}
	}
	return mux
}

// Use replaces the endpoints. A request in progress keeps its handler.
func (s *Server) Use(all []Endpoint) { s.mux.Store(muxOf(all)) }

func listen(ctx context.Context, o Options) (l net.Listener, err error) {
	if o.Listener != nil {
		l = o.Listener(o.Listen.String())
	}
	if l == nil {
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen.String())
	}
	if err == nil && o.Pause != nil {
		l = o.Pause.Listener(l)
	}
	return l, err
}

func serve(ctx context.Context, l net.Listener, h http.Handler, o Options) (*Server, error) {
	s := &Server{at: o.Listen, listener: l}
	s.asked.ctx, s.asked.cancel = context.WithCancel(context.WithoutCancel(ctx))
	h = s.asked.counted(h)
	if o.Pause != nil {
		h = o.Pause.Handler(h, nil)
	}
	s.server = &http.Server{
		Handler: h, BaseContext: func(net.Listener) context.Context { return s.asked.ctx },
		ReadHeaderTimeout: headerTimeout, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: 16 << 10, ErrorLog: httpd.ErrorLog(o.Log),
	}
	l = httpd.Bound(l, maxConnections, maxShare)
	if o.Cert != "" {
		pair, err := newKeyPair(o)
		if err != nil {
			return nil, fmt.Errorf("hooks.tls: %w", err)
		}
		l = tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: pair.get, NextProtos: []string{"http/1.1"},
		})
	}
	s.serving.Go(func() {
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error().Err(err).Msg("hook ended")
		}
	})
	return s, nil
}

// Listener returns the listener, and its address in the configuration.
func (s *Server) Listener() (at netip.AddrPort, l net.Listener) { return s.at, s.listener }

// closeTimeout is how long requests may continue after Close is called.
const closeTimeout = 2 * time.Second

// Close accepts no more requests and gives the requests in progress two seconds. Then it ends their contexts and
// connections, and returns when all handlers have returned.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = s.server.Shutdown(ctx) // remaining requests are ended below
	s.asked.cancel()
	err := s.server.Close()
	s.serving.Wait()
	s.asked.end()
	return err
}

// guarded lets a panic end only one answer, and forbids caching.
func guarded(next func() *http.ServeMux, log zerolog.Logger) http.Handler {
	strangers := httpd.Strangers(log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = httpd.ClosingRefusals(w)
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if p := recover(); p != nil {
				strangers.Error().Interface("panic", p).Str("path", r.URL.Path).Msg("hook panicked")
				httpd.Refuse(w, http.StatusInternalServerError, "internal error")
			}
		}()
		mux := next()
		if _, pattern := mux.Handler(r); pattern == "" || strings.Contains(r.URL.Path, "//") {
			httpd.Refuse(w, http.StatusNotFound, "there is nothing at this path; the hooks' paths are in the configuration")
			return
		}
		mux.ServeHTTP(w, r)
	})
}
