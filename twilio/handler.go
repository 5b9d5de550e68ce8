package twilio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	defaultTimeout     = 10 * time.Second
	defaultMaxRequests = 200
	maxBody            = 64 << 10
)

// Destination is where a call goes: a SIP URI without headers, and the headers
// that Twilio puts into its INVITE, in this order.
type Destination struct {
	URI     string
	Headers []Header
	Action  string // URL that is asked by POST when the call there has ended; empty: that of Options.Dial
}

// Options say how the webhook is answered.
type Options struct {
	// AuthToken is the account's, which signs Twilio's requests. Empty: signatures are not looked at.
	AuthToken string
	// URL is how Twilio reaches us, as it is set in Twilio's console: https://voice.example.com, with what a proxy cuts
	// off the path or with the whole path. It is needed with AuthToken, because Twilio signs it.
	URL string
	// Route says where a call goes. It has to return when its context ends. What it fails with is logged, and the
	// caller gets the fallback.
	Route func(context.Context, Call) (Destination, error)
	// Fallback is for calls that go nowhere.
	Fallback Fallback
	// EncodeSemicolon writes ';' in the value of a header as %3B. Default: as it is, as Synthflow's documents have it.
	EncodeSemicolon bool
	// Dial are attributes of <Dial>.
	Dial DialOptions
	// Timeout is how long Route may take. Default: 10s; Twilio waits for 15 s.
	Timeout time.Duration
	// MaxRequests bounds what is under way at a time; what is over it gets the fallback. Default: 200.
	MaxRequests int
	// Log gets one line for each request.
	Log zerolog.Logger
}

// handler is the webhook.
type handler struct {
	opts     Options
	verifier *verifier // nil: signatures are not checked
	fallback []byte
	slots    chan struct{}
	refusals *rate.Limiter // log lines that anybody can cause
}

// NewHandler gives the webhook. Once a request is known to be Twilio's and
// to name a number, it is answered with 200 and TwiML, whatever happens:
// anything else is an application error that the caller hears (Twilio's error
// 11200). Requests with another method get 405, with a body that is no form
// 415, or too long 413, or that can't be read 400, with a wrong signature 403,
// without Called 400.
//
// The server bounds headers and how long a body takes to come. The error is of
// the options.
func NewHandler(o Options) (http.Handler, error) {
	if o.Route == nil {
		return nil, errors.New("twilio: no Route")
	}
	h, err := buildHandler(o)
	if err != nil {
		return nil, err
	}
	return h, nil
}

func buildHandler(o Options) (*handler, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = defaultMaxRequests
	}
	if _, err := o.Dial.element(); err != nil {
		return nil, err
	}
	h := &handler{opts: o, slots: make(chan struct{}, o.MaxRequests), refusals: rate.NewLimiter(1, 5)}
	var err error
	if h.fallback, err = o.Fallback.TwiML(o.Dial); err != nil {
		return nil, err
	}
	if o.AuthToken != "" {
		if h.verifier, err = newVerifier(o.AuthToken, o.URL); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	params, refused := h.admit(w, r)
	var call Call
	if refused == nil {
		var err error
		if call, err = ParseCall(params); err != nil {
			refused = &refusal{http.StatusBadRequest, err.Error()}
		}
	}
	if refused != nil {
		h.refuse(w, r, refused)
		return
	}
	body, dest, err := h.answer(r.Context(), call)
	level := zerolog.InfoLevel
	if err != nil {
		level = zerolog.WarnLevel
	}
	h.opts.Log.WithLevel(level).Err(err).Str("call_sid", clipped(call.SID)).Str("from", clipped(call.Caller)).Str("to", clipped(call.Called)).Str("uri", dest.URI).
		Msg("twilio call answered")
	w.Header().Set("Content-Type", ContentType)
	_, _ = w.Write(body)
}

// clipped keeps a log line short, whatever was sent.
func clipped(s string) string { return s[:min(len(s), maxURI)] }

// refusal is an answer other than TwiML.
type refusal struct {
	status int
	words  string
}

func (h *handler) refuse(w http.ResponseWriter, r *http.Request, why *refusal) {
	if h.refusals.Allow() {
		line := h.opts.Log.Warn().Int("code", why.status).Str("reason", clipped(why.words)).Str("src", r.RemoteAddr)
		if why.status == http.StatusForbidden {
			line = line.Strs("signed_urls", h.verifier.signedURLs(r)).Bool("signature", r.Header.Get(SignatureHeader) != "")
		}
		line.Msg("twilio request refused")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(why.status)
	_, _ = io.WriteString(w, why.words)
}

// admit checks method, size and signature, in this order, and gives the
// parameters: those of the body, and behind them those of the query.
func (h *handler) admit(w http.ResponseWriter, r *http.Request) (url.Values, *refusal) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		return nil, &refusal{http.StatusMethodNotAllowed, "use GET or POST"}
	}
	form, refused := readForm(w, r)
	if refused != nil {
		return nil, refused
	}
	query, err := parseParameters(r.URL.RawQuery)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "query: " + err.Error()}
	}
	if h.verifier != nil && !h.verifier.verify(r, form) {
		return nil, &refusal{http.StatusForbidden, SignatureHeader + " is not of this URL and this account's auth token: " +
			"the URL in Twilio's console and the public URL that is configured here must be the same"}
	}
	params := url.Values{}
	for _, from := range []url.Values{form, query} {
		for name, values := range from {
			params[name] = append(params[name], values...)
		}
	}
	return params, nil
}

// readForm gives the body's parameters, nil for a GET.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *refusal) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxBody)}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "the body was cut short"}
	case r.Method == http.MethodGet:
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); len(body) > 0 && (err != nil || kind != "application/x-www-form-urlencoded") {
		return nil, &refusal{http.StatusUnsupportedMediaType, "Content-Type must be application/x-www-form-urlencoded"}
	}
	form, err := parseParameters(string(body))
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "body: " + err.Error()}
	}
	return form, nil
}

// The reasons for a fallback that are not Route's own.
var (
	errBusy  = errors.New("too many requests at a time")
	errLate  = errors.New("no route in time")
	errPanic = errors.New("panic")
)

// answer gives TwiML in any case, and why it is the fallback.
func (h *handler) answer(ctx context.Context, call Call) ([]byte, Destination, error) {
	dest, err := h.route(ctx, call)
	if err != nil {
		return h.fallback, dest, err
	}
	body, err := h.dial(dest)
	if err != nil {
		return h.fallback, dest, err
	}
	return body, dest, nil
}

// dial is the TwiML that dials a destination.
func (h *handler) dial(dest Destination) ([]byte, error) {
	uri, err := SIPURI(dest.URI, dest.Headers, h.opts.EncodeSemicolon)
	if err != nil {
		return nil, err
	}
	o := h.opts.Dial
	if dest.Action != "" {
		o.Action, o.Method = dest.Action, http.MethodPost
	}
	return DialSIP(uri, o)
}

// route asks Route, for as long as there is time. A Route that is late keeps
// its slot.
func (h *handler) route(ctx context.Context, call Call) (Destination, error) {
	select {
	case h.slots <- struct{}{}:
	default:
		return Destination{}, errBusy
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.opts.Timeout, errLate)
	defer cancel()
	type outcome struct {
		dest Destination
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o = outcome{err: fmt.Errorf("%w: %v", errPanic, p)}
			}
			<-h.slots // before whoever waits can ask again
			done <- o
		}()
		o.dest, o.err = h.opts.Route(ctx, call)
	}()
	select {
	case o := <-done:
		if o.err != nil && ctx.Err() != nil {
			o.err = errors.Join(context.Cause(ctx), o.err)
		}
		return o.dest, o.err
	case <-ctx.Done():
		return Destination{}, context.Cause(ctx)
	}
}
