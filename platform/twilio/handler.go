package twilio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/config/twiml"
	"flowbridge/internal/httpd"
)

const (
	defaultTimeout     = 10 * time.Second
	defaultMaxRequests = 200
	maxBody            = 64 << 10
)

// Destination is the destination of a call: a SIP URI without headers, and the headers for Twilio's INVITE, in order.
type Destination struct {
	URI     string
	Headers []Header
	Number  string // a number that Twilio itself calls, instead of URI
	Action  string // URL that Twilio requests by POST when that call has ended; if empty, Options.Dial's
	Refer   string // URL that Twilio requests by POST when the target sends a REFER; may be empty
}

// Options are the options of the webhook.
type Options struct {
	// AuthToken is the account's auth token, with which Twilio signs its requests. If it is empty, signatures are not
	// checked.
	AuthToken string
	// URL is the webhook's public URL, as set in Twilio's console: https://voice.example.com, with the part of the path
	// that a proxy removes, or with the whole path. It is required with AuthToken, because Twilio signs it.
	URL string
	// Route returns the destination of a call. It must return when its context ends. If it fails, the error is logged,
	// and the caller gets the fallback.
	Route func(context.Context, Call) (Destination, error)
	// Fallback is the TwiML for calls without a destination. If it is empty, they are rejected as busy.
	Fallback string
	// Dial has the attributes of <Dial>.
	Dial DialOptions
	// Timeout is how long Route may take. If it is zero, it is 10s; Twilio waits for 15 s.
	Timeout time.Duration
	// MaxRequests limits the requests in progress. Further requests get the fallback. If it is zero, it is 200.
	MaxRequests int
	// Log gets one line for each request.
	Log zerolog.Logger
}

// handler is a webhook. Webhooks differ only in the function answer.
type handler struct {
	opts     Options
	verifier *verifier // nil if signatures are not checked
	fallback []byte
	places   httpd.Places
	refusals *rate.Limiter // limits log lines about requests without authentication
	answer   func(context.Context, url.Values) ([]byte, *httpd.Refusal)
}

// NewHandler returns the webhook. A request of Twilio that names a number is always answered with 200 and TwiML,
// because with any other answer the caller hears an application error (Twilio's error 11200). Other requests get 405
// for another method, 415 for a body that is not a form, 413 for a body that is too long, 400 for one that can't be
// read, 403 for a wrong signature and 400 without Called.
//
// The HTTP server must limit headers and the time that a body takes to arrive. An error means that the options are
// wrong.
func NewHandler(o Options) (http.Handler, error) {
	if o.Route == nil {
		return nil, errors.New("twilio: no Route")
	}
	h, err := newHandler(o)
	if err != nil {
		return nil, err
	}
	h.answer = h.answerCall
	return h, nil
}

func newHandler(o Options) (*handler, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = defaultMaxRequests
	}
	if _, err := o.Dial.element(); err != nil {
		return nil, err
	}
	fallback, err := twiml.Document(cmp.Or(o.Fallback, `<Response><Reject reason="busy"></Reject></Response>`))
	if err != nil {
		return nil, fmt.Errorf("fallback: %w", err)
	}
	h := &handler{
		opts: o, places: make(httpd.Places, o.MaxRequests), refusals: rate.NewLimiter(1, 5), fallback: fallback,
	}
	if o.AuthToken != "" {
		h.verifier, err = newVerifier(o.AuthToken, o.URL)
	}
	return h, err
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	params, no := h.admit(w, r)
	var body []byte
	if no == nil {
		body, no = h.answer(r.Context(), params)
	}
	if no != nil {
		h.refuse(w, r, no)
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body)
}

// answerCall answers with the destination of a call, and logs the answer.
func (h *handler) answerCall(ctx context.Context, params url.Values) ([]byte, *httpd.Refusal) {
	call, err := parseCall(params)
	if err != nil {
		return nil, &httpd.Refusal{Status: http.StatusBadRequest, Words: err.Error()}
	}
	dest, err := h.route(ctx, call)
	body := h.fallback
	if err == nil {
		body, err = h.dial(dest)
	}
	h.opts.Log.WithLevel(levelOf(err)).Err(err).Str("call_sid", clipped(call.SID)).Str("from", clipped(call.Caller)).
		Str("to", clipped(call.Called)).Str("uri", dest.URI).
		Msg("twilio call answered")
	return body, nil
}

// levelOf returns the level of a request's log line.
func levelOf(err error) zerolog.Level {
	if err != nil {
		return zerolog.WarnLevel
	}
	return zerolog.InfoLevel
}

// clipped bounds a text in the log.
func clipped(s string) string { return s[:min(len(s), maxURI)] }

func (h *handler) refuse(w http.ResponseWriter, r *http.Request, no *httpd.Refusal) {
	if h.refusals.Allow() {
		line := h.opts.Log.Warn().Int("code", no.Status).Str("reason", clipped(no.Words)).Str("src", r.RemoteAddr)
		if no.Status == http.StatusForbidden {
			line = line.Strs("signed_urls", h.verifier.signedURLs(r)).Bool("signature", r.Header.Get(SignatureHeader) != "")
		}
		line.Msg("twilio request refused")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(no.Status)
	_, _ = io.WriteString(w, no.Words)
}

// admit checks method, size and signature, in this order. It returns the parameters; for each name, the body's values
// come before the query's.
func (h *handler) admit(w http.ResponseWriter, r *http.Request) (url.Values, *httpd.Refusal) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		return nil, &httpd.Refusal{Status: http.StatusMethodNotAllowed, Words: "use GET or POST"}
	}
	form, no := readForm(w, r)
	if no != nil {
		return nil, no
	}
	query, err := parseParameters(r.URL.RawQuery)
	if err != nil {
		return nil, &httpd.Refusal{Status: http.StatusBadRequest, Words: "query: " + err.Error()}
	}
	if h.verifier != nil && !h.verifier.verify(r, form) {
		return nil, &httpd.Refusal{
			Status: http.StatusForbidden,
			Words: SignatureHeader + " is not of this URL and this account's auth token: " +
				"the URL in Twilio's console and the public URL that is configured here must be the same",
		}
	}
	params := url.Values{}
	for _, from := range []url.Values{form, query} {
		for name, values := range from {
			params[name] = append(params[name], values...)
		}
	}
	return params, nil
}

// readForm returns the body's parameters, or nil for a GET.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *httpd.Refusal) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, &httpd.Refusal{
			Status: http.StatusRequestEntityTooLarge,
			Words:  fmt.Sprintf("the body is longer than %d bytes", maxBody),
		}
	case err != nil:
		return nil, &httpd.Refusal{Status: http.StatusBadRequest, Words: "the body was cut short"}
	case r.Method == http.MethodGet:
		return nil, nil
	case len(body) > 0 && !httpd.HasType(r, "application/x-www-form-urlencoded"):
		return nil, &httpd.Refusal{
			Status: http.StatusUnsupportedMediaType,
			Words:  "Content-Type must be application/x-www-form-urlencoded",
		}
	}
	form, err := parseParameters(string(body))
	if err != nil {
		return nil, &httpd.Refusal{Status: http.StatusBadRequest, Words: "body: " + err.Error()}
	}
	return form, nil
}

// Reasons for a fallback, in addition to Route's errors.
var (
	errBusy = errors.New("too many requests at a time")
	errLate = errors.New("no route in time")
)

// dial returns the TwiML that dials a destination. If it can't be dialled, dial returns the fallback with an error.
func (h *handler) dial(dest Destination) ([]byte, error) {
	o := h.opts.Dial
	o.ReferURL = dest.Refer
	if dest.Action != "" {
		o.Action, o.Method = dest.Action, http.MethodPost
	}
	var body []byte
	uri, err := "", error(nil)
	if dest.Number != "" {
		body, err = dialNumber(dest.Number, o)
	} else if uri, err = SIPURI(dest.URI, dest.Headers); err == nil {
		body, err = dialSIP(uri, o)
	}
	if err != nil {
		return h.fallback, err
	}
	return body, nil
}

// route calls Route within the time limit. If Route is late, it keeps its place until it returns.
func (h *handler) route(ctx context.Context, call Call) (Destination, error) {
	if !h.places.Take() {
		return Destination{}, errBusy
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.opts.Timeout, errLate)
	defer cancel()
	return httpd.Decide(ctx, h.places, func() (Destination, error) { return h.opts.Route(ctx, call) })
}
