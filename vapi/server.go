package vapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
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
	// end-of-call-report; body is the whole message and may be kept.
	Other func(kind string, body []byte)
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
	strangers *rate.Sometimes
}

// NewHandler is a handler for the server URL of a phone number, an assistant
// or an account.
//
// An assistant-request gets 200 with an Answer within the time, whatever
// happens: an error to be spoken if need be. All other messages get 200 and
// {}, so that the platform has nothing to repeat. What is no message of the
// platform gets a status and {"error": words}.
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
		strangers: &rate.Sometimes{First: 3, Interval: time.Minute},
	}, nil
}

// ServeHTTP takes one message.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), h.opts.Timeout, errLate)
	defer cancel()
	body, code, err := h.read(w, r)
	if err != nil {
		refuseMessage(w, code, err)
		return
	}
	m, err := parseMessage(body)
	if err != nil {
		refuseMessage(w, http.StatusBadRequest, err)
		return
	}
	if m.kind == "assistant-request" {
		h.answer(ctx, w, m.request())
		return
	}
	h.tell(m.kind, body)
	respond(w, http.StatusOK, []byte("{}"))
}

// read checks who sends what, and reads it; err is for the sender, with its
// status.
func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]byte, int, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed, errors.New("use POST")
	}
	if !h.knows(r) {
		h.strangers.Do(func() {
			h.opts.Log.Warn().Str("remote", r.RemoteAddr).Msg("vapi message with a missing or wrong secret")
		})
		return nil, http.StatusUnauthorized, errors.New("the secret is missing or wrong: send it as X-Vapi-Secret, or as Authorization: Bearer")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("the Content-Type must be application/json")
	}
	// A body that trickles in must not take longer than the answer may. Not
	// every ResponseWriter has a deadline; those of net/http's server do.
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(h.opts.Timeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	_ = conn.SetReadDeadline(time.Time{})
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the message has more than %d bytes", MaxRequest)
	}
	if err != nil {
		return nil, http.StatusBadRequest, errors.New("the message was cut short")
	}
	return body, 0, nil
}

// knows compares hashes, so that neither the secret nor its length shows in
// the time it takes.
func (h *handler) knows(r *http.Request) bool {
	if h.opts.Secret == "" {
		return true
	}
	token := r.Header.Get("Authorization")
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	want := sha256.Sum256([]byte(h.opts.Secret))
	known := 0
	for _, s := range []string{r.Header.Get("X-Vapi-Secret"), token} {
		got := sha256.Sum256([]byte(s))
		known |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return known == 1
}

// answer has somebody decide, and answers in time.
func (h *handler) answer(ctx context.Context, w http.ResponseWriter, r Request) {
	start := time.Now()
	body, err := h.decide(ctx, r)
	level := zerolog.InfoLevel
	if err != nil {
		level = zerolog.WarnLevel
		body, _ = json.Marshal(Answer{Error: h.opts.Apology})
	}
	h.opts.Log.WithLevel(level).Err(err).Str("vapi_call_id", r.CallID).Str("sip_call_id", r.SIPCallID).Dur("dur_ms", time.Since(start)).Msg("assistant requested")
	respond(w, http.StatusOK, body)
}

var (
	errBusy = errors.New("too many requests are being decided")
	errLate = errors.New("nothing was decided in time")
)

// decide returns when there is an answer or when ctx ends, even if Decide does
// not. The place that the request takes is free when Decide is done.
func (h *handler) decide(ctx context.Context, r Request) ([]byte, error) {
	select {
	case h.undecided <- struct{}{}:
	default:
		return nil, errBusy
	}
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

// tell passes a message on that wants no answer.
func (h *handler) tell(kind string, body []byte) {
	if h.opts.Other == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			h.opts.Log.Warn().Err(fmt.Errorf("panic: %v", p)).Str("type", kind).Msg("vapi message not taken")
		}
	}()
	h.opts.Other(kind, body)
}

func refuseMessage(w http.ResponseWriter, code int, err error) {
	body, _ := json.Marshal(map[string]string{"error": err.Error()})
	respond(w, code, body)
}

func respond(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
