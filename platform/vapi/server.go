package vapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
)

const (
	// defaultTimeout is the default of HandlerOptions.Timeout.
	defaultTimeout = 5 * time.Second
	// MaxTimeout is the platform's own limit, which can't be changed. It runs from sending the message to the complete
	// answer (Vapi's page "Server events"). A timeout should be shorter by the time that the HTTP server allows for the
	// headers.
	MaxTimeout = 7500 * time.Millisecond

	defaultApology = "Sorry, this call cannot be taken right now. Please try again later."

	// maxUndecided limits the requests that are being decided, including those that the platform has given up.
	maxUndecided = 256
	// maxOther limits how many other messages are handled at a time. They are counted separately, so that reports can't
	// prevent the answer to a call.
	maxOther = 32
)

// HandlerOptions are the options of NewHandler.
type HandlerOptions struct {
	// Secret is the secret that a message must present, as X-Vapi-Secret or as Authorization: Bearer (Vapi's page "Server
	// authentication"). If it is empty, all messages are accepted, which is meant only for loopback.
	Secret string
	// Decide answers an assistant-request. It should return when ctx ends. If it fails or is late, the caller hears
	// Apology.
	Decide func(ctx context.Context, r Request) (Answer, error)
	// Other, if set, receives every other message, such as end-of-call-report. body is the whole message. If Other fails,
	// the message is answered with 503, and the platform may send it again.
	Other func(kind string, body []byte) error
	// Timeout limits the time for a message from its headers to its answer. It is 5s if zero, and at most MaxTimeout. The
	// time for headers and TLS comes on top, within the HTTP server's timeout.
	Timeout time.Duration
	// Apology is spoken to the caller if no decision could be made. If it is empty, it is a sentence in English.
	Apology string
	// Log receives a line for every request that was decided or failed.
	Log zerolog.Logger
}

// handler serves the platform's messages.
type handler struct {
	opts      HandlerOptions
	undecided httpd.Places // places for requests that are being decided
	others    httpd.Places // places for other messages
	strangers zerolog.Logger
	bodies    httpd.Bodies
}

// NewHandler returns a handler for the server URL of a phone number, an assistant or an account.
//
// An assistant-request always gets 200 with an Answer in time, which may be an error that the platform speaks. Other
// messages get 200 and {}, so that the platform does not repeat them, or 503 if they could not be stored. All other
// requests get an error status and {"error": words}.
func NewHandler(o HandlerOptions) (http.Handler, error) {
	o.Timeout, o.Apology = cmp.Or(o.Timeout, defaultTimeout), cmp.Or(o.Apology, defaultApology)
	switch {
	case o.Decide == nil:
		return nil, errors.New("vapi: nothing decides about calls")
	case o.Timeout < 0 || o.Timeout > MaxTimeout:
		return nil, fmt.Errorf("vapi: the timeout is %v; the platform waits for %v at most", o.Timeout, MaxTimeout)
	}
	return &handler{
		opts: o, undecided: make(httpd.Places, maxUndecided), others: make(httpd.Places, maxOther),
		strangers: httpd.Strangers(o.Log), bodies: httpd.Bodies{Max: maxRequest, Wait: o.Timeout},
	}, nil
}

// ServeHTTP answers one message.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), h.opts.Timeout, errLate)
	defer cancel()
	if no := h.refusal(w, r); no != nil {
		httpd.Refuse(w, no.Status, no.Words)
		return
	}
	body, release, no := h.bodies.Read(w, r)
	if no != nil {
		httpd.Refuse(w, no.Status, no.Words)
		return
	}
	defer release()
	m, err := parseMessage(body)
	switch {
	case err != nil:
		httpd.Refuse(w, http.StatusBadRequest, err.Error())
	case m.kind == "assistant-request":
		h.answer(ctx, w, m)
	default:
		h.tell(w, m.kind, body)
	}
}

// refusal checks method, secret and type before the body is read.
func (h *handler) refusal(w http.ResponseWriter, r *http.Request) *httpd.Refusal {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &httpd.Refusal{Status: http.StatusMethodNotAllowed, Words: "use POST"}
	}
	if !h.knows(r) {
		h.strangers.Warn().Str("remote", r.RemoteAddr).Msg("vapi message with a missing or wrong secret")
		return &httpd.Refusal{
			Status: http.StatusUnauthorized,
			Words:  "the secret is missing or wrong: send it as X-Vapi-Secret, or as Authorization: Bearer",
		}
	}
	if !httpd.HasType(r, "application/json") {
		return &httpd.Refusal{Status: http.StatusUnsupportedMediaType, Words: "the Content-Type must be application/json"}
	}
	return nil
}

// knows reports whether the request presents the secret, in any of its forms.
func (h *handler) knows(r *http.Request) bool {
	secret := h.opts.Secret
	return secret == "" || httpd.Same(r.Header.Get("X-Vapi-Secret"), secret) ||
		httpd.Same(httpd.Bearer(r), secret) || httpd.Same(r.Header.Get("Authorization"), secret)
}

// answer gets the decision about a call, and answers in time. If too many requests are being decided, it does not parse
// the message any further.
func (h *handler) answer(ctx context.Context, w http.ResponseWriter, m message) {
	start := time.Now()
	var r Request
	var body []byte
	err := errBusy
	if h.undecided.Take() {
		r = m.request()
		body, err = httpd.Decide(ctx, h.undecided, func() ([]byte, error) {
			a, err := h.opts.Decide(ctx, r)
			if err != nil {
				return nil, err
			}
			return a.MarshalJSON()
		})
	}
	level := zerolog.InfoLevel
	if err != nil {
		level = zerolog.WarnLevel
		body, _ = json.Marshal(Answer{Error: h.opts.Apology})
	}
	h.opts.Log.WithLevel(level).Err(err).Str("vapi_call_id", r.CallID).Str("sip_call_id", r.SIPCallID).
		Dur("dur_ms", time.Since(start)).Msg("assistant requested")
	httpd.Answer(w, http.StatusOK, json.RawMessage(body))
}

var (
	errBusy = errors.New("too many messages are being taken")
	errLate = errors.New("nothing was decided in time")
)

// tell passes on a message that needs no answer. If Other panics, the panic is logged, and the message is not requested
// again, because it would cause another panic.
func (h *handler) tell(w http.ResponseWriter, kind string, body []byte) {
	err := errBusy
	if h.others.Take() {
		defer h.others.Free()
		_, err = httpd.Safely(func() (struct{}, error) {
			if h.opts.Other == nil {
				return struct{}{}, nil
			}
			return struct{}{}, h.opts.Other(kind, body)
		})
	}
	if err != nil {
		h.opts.Log.Warn().Err(err).Str("type", kind).Msg("vapi message not accepted")
	}
	if err != nil && !errors.Is(err, httpd.ErrPanic) {
		w.Header().Set("Retry-After", "1")
		httpd.Refuse(w, http.StatusServiceUnavailable, "not taken, send it again")
		return
	}
	httpd.Answer(w, http.StatusOK, struct{}{})
}
