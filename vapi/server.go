package vapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
)

const (
	// DefaultTimeout is how long an answer may take unless HandlerOptions say
	// otherwise.
	DefaultTimeout = 5 * time.Second
	// MaxTimeout is the platform's own limit, which cannot be changed. It
	// counts from the sending of the message to the whole answer (Vapi's page
	// "Server events"), so one should stay well below it: by what the HTTP
	// server waits for the headers.
	MaxTimeout = 7500 * time.Millisecond

	defaultApology = "Sorry, this call cannot be taken right now. Please try again later."

	// maxUndecided bounds the requests that are being decided at a time,
	// those that nobody waits for any more included.
	maxUndecided = 256
	// maxTold bounds the other messages that are being passed on at a time.
	// They have places of their own, so that reports cost no call its answer.
	maxTold = 32
)

// HandlerOptions say how messages of the platform are taken.
type HandlerOptions struct {
	// Secret is what a message has to show, as X-Vapi-Secret or as
	// Authorization: Bearer (Vapi's page "Server authentication"). Empty
	// takes messages from everybody, which is for loopback only.
	Secret string
	// Decide answers an assistant-request. It should return once ctx ends;
	// the caller hears Apology where it fails or is late.
	Decide func(ctx context.Context, r Request) (Answer, error)
	// Other, if set, is told of every other message, such as
	// end-of-call-report; body is the whole message. Its error is answered
	// with 503, upon which the platform may send the message again.
	Other func(kind string, body []byte) error
	// Timeout is how long a message may take once its headers are there, the
	// rest of it and its answer; DefaultTimeout if zero, at most MaxTimeout.
	// What the HTTP server gives the headers, and TLS before them, comes on
	// top of it.
	Timeout time.Duration
	// Apology are the words for a call that nothing could be decided about;
	// a sentence in English if empty.
	Apology string
	// Log is told of every request that was decided or failed.
	Log zerolog.Logger
}

// handler serves the platform's messages.
type handler struct {
	opts      HandlerOptions
	undecided chan struct{} // one element per request that is being decided
	told      chan struct{} // one per other message that is being passed on
	strangers zerolog.Logger
	bodies    httpd.Bodies
}

// NewHandler is a handler for the server URL of a phone number, an assistant
// or an account.
//
// An assistant-request gets 200 with an Answer within the time, whatever
// happens: an error to be spoken if need be. All other messages get 200 and
// {}, so that the platform has nothing to repeat, or 503 where they could not
// be taken. What is no message of the platform gets a status and
// {"error": words}.
func NewHandler(o HandlerOptions) (http.Handler, error) {
	if o.Decide == nil {
		return nil, errors.New("vapi: nothing decides about calls")
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Timeout < 0 || o.Timeout > MaxTimeout {
		return nil, fmt.Errorf("vapi: the timeout is %v; the platform waits for %v at most", o.Timeout, MaxTimeout)
	}
	if o.Apology == "" {
		o.Apology = defaultApology
	}
	return &handler{
		opts:      o,
		undecided: make(chan struct{}, maxUndecided),
		told:      make(chan struct{}, maxTold),
		strangers: httpd.Strangers(o.Log),
		bodies:    httpd.Bodies{Max: MaxRequest, Wait: o.Timeout},
	}, nil
}

// ServeHTTP takes one message.
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

// refusal checks who sends what, before any of it is read.
func (h *handler) refusal(w http.ResponseWriter, r *http.Request) *httpd.Refusal {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &httpd.Refusal{Status: http.StatusMethodNotAllowed, Words: "use POST"}
	}
	if !h.knows(r) {
		h.strangers.Warn().Str("remote", r.RemoteAddr).Msg("vapi message with a missing or wrong secret")
		return &httpd.Refusal{Status: http.StatusUnauthorized, Words: "the secret is missing or wrong: send it as X-Vapi-Secret, or as Authorization: Bearer"}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &httpd.Refusal{Status: http.StatusUnsupportedMediaType, Words: "the Content-Type must be application/json"}
	}
	return nil
}

// knows says whether the secret was shown, in any of the ways that it comes.
func (h *handler) knows(r *http.Request) bool {
	secret := h.opts.Secret
	return secret == "" || httpd.Same(r.Header.Get("X-Vapi-Secret"), secret) ||
		httpd.Same(httpd.Bearer(r), secret) || httpd.Same(r.Header.Get("Authorization"), secret)
}

// answer has somebody decide, and answers in time. Where too many are at it,
// the message is not even taken apart.
func (h *handler) answer(ctx context.Context, w http.ResponseWriter, m message) {
	start := time.Now()
	var r Request
	var body []byte
	err := errBusy
	select {
	case h.undecided <- struct{}{}:
		r = m.request()
		body, err = h.decide(ctx, r)
	default:
	}
	level := zerolog.InfoLevel
	if err != nil {
		level = zerolog.WarnLevel
		body, _ = json.Marshal(Answer{Error: h.opts.Apology})
	}
	h.opts.Log.WithLevel(level).Err(err).Str("vapi_call_id", r.CallID).Str("sip_call_id", r.SIPCallID).Dur("dur_ms", time.Since(start)).Msg("assistant requested")
	httpd.Answer(w, http.StatusOK, json.RawMessage(body))
}

var (
	errBusy = errors.New("too many messages are being taken")
	errLate = errors.New("nothing was decided in time")
)

// decide returns when there is an answer or when ctx ends, even if Decide does
// not. The place that the request has is free when Decide is done.
func (h *handler) decide(ctx context.Context, r Request) ([]byte, error) {
	type outcome struct {
		body []byte
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-h.undecided }()
		body, err := h.ask(ctx, r)
		done <- outcome{body, err}
	}()
	select {
	case o := <-done:
		return o.body, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ask makes a panic of Decide an error.
func (h *handler) ask(ctx context.Context, r Request) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	a, err := h.opts.Decide(ctx, r)
	if err != nil {
		return nil, err
	}
	return a.MarshalJSON()
}

// tell passes a message on that wants no answer, unless too many are.
func (h *handler) tell(w http.ResponseWriter, kind string, body []byte) {
	err := errBusy
	select {
	case h.told <- struct{}{}:
		defer func() { <-h.told }()
		err = h.pass(kind, body)
	default:
	}
	if err != nil {
		h.opts.Log.Warn().Err(err).Str("type", kind).Msg("vapi message not taken")
		w.Header().Set("Retry-After", "1")
		httpd.Refuse(w, http.StatusServiceUnavailable, "not taken, send it again")
		return
	}
	httpd.Answer(w, http.StatusOK, struct{}{})
}

// pass has a panic of Other in the log, and over with: the message would do
// it again.
func (h *handler) pass(kind string, body []byte) error {
	if h.opts.Other == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			h.opts.Log.Warn().Err(fmt.Errorf("panic: %v", p)).Str("type", kind).Msg("vapi message not taken")
		}
	}()
	return h.opts.Other(kind, body)
}
