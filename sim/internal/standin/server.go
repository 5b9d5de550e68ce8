package standin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"flowbridge/internal/httpd"
	"flowbridge/sim"
)

const maxBody = 256 << 10 // bytes

// Server is the SIP agent and the HTTP API of a stand-in.
type Server struct {
	*sim.Agent
	api      API
	listener net.Listener
	http     *http.Server
	served   chan struct{}
}

// API describes an HTTP API.
type API struct {
	Token   string           // the token that each request must present
	TokenIn string           // the header for the bare token; if empty, Authorization: Bearer is used
	Created int              // status of the answer to a POST; 200 if zero
	Lock    sync.Locker      // held while a request is carried out; may be nil
	Routes  map[string]Route // by method and path, such as "POST /v2/numbers/{slug}"
	// Envelope returns the body of a refusal.
	Envelope func(code int, words []string) any
}

// Route says what the body of a request may contain, and what the request does.
type Route struct {
	Body *Shape // nil if there is no body
	Do   Do
}

// Do carries out a request. It returns a value for JSON, or refuses the request.
type Do func(r Request) (any, *Refusal)

// Request is a request with a checked body.
type Request struct {
	*http.Request
	Sent Object // the body; may be nil
}

// Refusal is an error answer.
type Refusal struct {
	Code  int
	Words []string
}

// Refuse returns a refusal.
func Refuse(code int, format string, args ...any) *Refusal {
	return &Refusal{code, []string{fmt.Sprintf(format, args...)}}
}

// Open opens both sockets. If ctx is cancelled, the calls end, but the listeners stay.
func Open(ctx context.Context, listen string, o sim.AgentOptions) (*Server, error) {
	agent, err := sim.OpenAgent(ctx, o)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cmp.Or(listen, "127.0.0.1:0"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.Name, err), agent.Close())
	}
	return &Server{Agent: agent, listener: l, served: make(chan struct{})}, nil
}

// Serve serves the platform and its API until Close.
func (s *Server) Serve(p sim.Platform, api API) {
	s.api = api
	s.Agent.Serve(p)
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.listener) // ends with Close
	}()
}

// APIURL returns the base URL of the HTTP API.
func (s *Server) APIURL() string { return "http://" + s.listener.Addr().String() }

// Close hangs up, stops listening and waits for all goroutines.
func (s *Server) Close() error {
	err := s.Agent.Close() // also ends API requests that are still waiting
	err = errors.Join(err, s.http.Close())
	<-s.served
	return err
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	paths := map[string]map[string]Route{"/": {}}
	for pattern, route := range s.api.Routes {
		method, path, _ := strings.Cut(pattern, " ")
		if paths[path] == nil {
			paths[path] = map[string]Route{}
		}
		paths[path][method] = route
	}
	for path, methods := range paths {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, methods) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.Enter() {
			s.refuse(w, Refuse(http.StatusServiceUnavailable, "closing"))
			return
		}
		defer s.Leave()
		mux.ServeHTTP(w, r)
	})
}

// serve checks the token, the route and the body of a request, applies the fault, and calls the route.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, methods map[string]Route) {
	route := methods[r.Method]
	switch {
	case !httpd.Same(s.shown(r), s.api.Token):
		s.refuse(w, Refuse(http.StatusUnauthorized, "the token is missing or not known"))
		return
	case len(methods) == 0:
		s.refuse(w, Refuse(http.StatusNotFound, "there is no %s", r.URL.Path))
		return
	case route.Do == nil:
		w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
		s.refuse(w, Refuse(http.StatusMethodNotAllowed, "%s is not a method of %s", r.Method, r.URL.Path))
		return
	}
	body, refusal := s.body(w, r, route.Body)
	if refusal == nil {
		if !s.carryOut(w, r) {
			return
		}
		var answer any
		answer, refusal = s.do(route, Request{r, body})
		if refusal == nil {
			code := http.StatusOK
			if r.Method == http.MethodPost {
				code = cmp.Or(s.api.Created, code)
			}
			httpd.Answer(w, code, answer)
			return
		}
	}
	s.refuse(w, refusal)
}

// shown returns the token of a request.
func (s *Server) shown(r *http.Request) string {
	if s.api.TokenIn != "" {
		return r.Header.Get(s.api.TokenIn)
	}
	return httpd.Bearer(r)
}

func (s *Server) do(route Route, r Request) (any, *Refusal) {
	if s.api.Lock != nil {
		s.api.Lock.Lock()
		defer s.api.Lock.Unlock()
	}
	return route.Do(r)
}

// body reads a JSON body, up to the limit, and checks its shape.
func (s *Server) body(w http.ResponseWriter, r *http.Request, shape *Shape) (Object, *Refusal) {
	if shape == nil || shape.Open && len(shape.Required) == 0 && r.ContentLength == 0 {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, Refuse(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, Refuse(http.StatusRequestEntityTooLarge, "body too large or cut short")
	}
	return shape.Read(raw)
}

// Page returns the part of a list that the query's limit and offset select, and the values of both.
func Page[T any](r *http.Request, all []T, limit, most int) (part []T, asked map[string]int, refusal *Refusal) {
	asked = map[string]int{"limit": limit, "offset": 0}
	for name := range asked {
		given := r.URL.Query().Get(name)
		if n, err := strconv.Atoi(given); given != "" && (err != nil || n < 0) {
			return nil, nil, Refuse(http.StatusBadRequest, "%s must be a whole number from 0", name)
		} else if given != "" {
			asked[name] = n
		}
	}
	asked["limit"] = min(asked["limit"], most)
	from := min(asked["offset"], len(all))
	return all[from:min(from+asked["limit"], len(all))], asked, nil
}

func (s *Server) refuse(w http.ResponseWriter, no *Refusal) {
	httpd.Answer(w, no.Code, s.api.Envelope(no.Code, no.Words))
}
