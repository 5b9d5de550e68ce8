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
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
)

// Endpoint is a handler with its address and path.
type Endpoint struct {
	Name    string // in the log
	Listen  netip.AddrPort
	Path    string
	Below   bool // it serves what is below Path, too
	Handler http.Handler
}

// Options say what Start opens.
type Options struct {
	Endpoints []Endpoint
	// Cert and Key are PEM files, read again when they change. Default: none, plain HTTP.
	Cert, Key string
	Log       zerolog.Logger

	// Listener gives a listener that another process has opened, by the address in the configuration; nil: there is none.
	Listener func(at string) net.Listener
	// Pause has the hooks take no requests for a while; nil: they never do.
	Pause *httpd.Pause

	now func() time.Time // for tests; nil: time.Now
}

const (
	// maxConnections bounds the connections of one listener.
	maxConnections = 1000
	// maxShare bounds the connections of one source, so one source can't take a whole listener.
	maxShare = 100
	// headerTimeout bounds the wait for a request's headers, and for the TLS handshake before them. An endpoint's own time
	// begins after it.
	headerTimeout = 2 * time.Second
	// idleTimeout is short, because an idle connection takes the place of another.
	idleTimeout = 10 * time.Second
)

// Server is the listeners. Endpoints with the same address share one.
type Server struct {
	servers   []*http.Server
	listeners map[netip.AddrPort]net.Listener
	serving   sync.WaitGroup
	asked     requests
}

// Start listens and serves until Close. An error names the hook.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{listeners: map[netip.AddrPort]net.Listener{}}
	s.asked.ctx, s.asked.cancel = context.WithCancel(context.WithoutCancel(ctx))
	muxes := map[netip.AddrPort]*http.ServeMux{}
	for _, e := range o.Endpoints {
		mux := muxes[e.Listen]
		if mux == nil {
			if err := s.listen(ctx, e, o); err != nil {
				return nil, errors.Join(err, s.Close())
			}
			mux = http.NewServeMux()
			muxes[e.Listen] = mux
		}
		mux.Handle(e.Path, e.Handler)
		if e.Below {
			mux.Handle(e.Path+"/", e.Handler)
		}
		o.Log.Info().Str("hook", e.Name).Stringer("listen", s.listeners[e.Listen].Addr()).Str("path", e.Path).
			Msg("hook listening")
	}
	for addr, mux := range muxes {
		handler := s.asked.counted(guarded(mux, o.Log))
		if o.Pause != nil {
			handler = o.Pause.Handler(handler, nil)
		}
		if err := s.serve(s.listeners[addr], handler, o); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (s *Server) listen(ctx context.Context, e Endpoint, o Options) (err error) {
	var l net.Listener
	if o.Listener != nil {
		l = o.Listener(e.Listen.String())
	}
	if l == nil {
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", e.Listen.String())
	}
	if err != nil {
		return fmt.Errorf("hooks.%s.listen: %w; another process may have the port, see ss -ltnp", e.Name, err)
	}
	if o.Pause != nil {
		l = o.Pause.Listener(l)
	}
	s.listeners[e.Listen] = l
	return nil
}

func (s *Server) serve(l net.Listener, h http.Handler, o Options) error {
	server := &http.Server{
		Handler: h, BaseContext: func(net.Listener) context.Context { return s.asked.ctx },
		ReadHeaderTimeout: headerTimeout, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: 16 << 10, ErrorLog: httpd.ErrorLog(o.Log),
	}
	l = httpd.Bound(l, maxConnections, maxShare)
	if o.Cert != "" {
		pair, err := newKeyPair(o)
		if err != nil {
			return fmt.Errorf("hooks.tls: %w", err)
		}
		l = tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: pair.get, NextProtos: []string{"http/1.1"},
		})
	}
	s.servers = append(s.servers, server)
	s.serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error().Err(err).Msg("hook ended")
		}
	})
	return nil
}

// Listeners gives the listeners, by the addresses in the configuration.
func (s *Server) Listeners() map[netip.AddrPort]net.Listener { return s.listeners }

// Addr is the address that a configured address listens at: for port 0, with the port that the system chose.
func (s *Server) Addr(listen netip.AddrPort) net.Addr { return s.listeners[listen].Addr() }

// closeTimeout is how long requests may go on after Close is called.
const closeTimeout = 2 * time.Second

// Close accepts no more requests and gives those under way two seconds. Then it ends their contexts and connections,
// and returns when no handler runs any more.
func (s *Server) Close() error {
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var closing sync.WaitGroup
	for _, server := range s.servers {
		closing.Go(func() { _ = server.Shutdown(ctx) }) // Close ends what is left
	}
	closing.Wait()
	s.asked.cancel()
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	s.serving.Wait()
	s.asked.end()
	for _, l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// guarded lets a panic end only one answer, and forbids caching.
func guarded(next *http.ServeMux, log zerolog.Logger) http.Handler {
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
		if _, pattern := next.Handler(r); pattern == "" || strings.Contains(r.URL.Path, "//") {
			httpd.Refuse(w, http.StatusNotFound, "there is nothing at this path; the hooks' paths are in the configuration")
			return
		}
		next.ServeHTTP(w, r)
	})
}
