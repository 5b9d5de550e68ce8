package twilio

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"flowbridge/internal/httpd"
)

// Ended says how a <Dial> ended, according to Twilio's request to its action URL (twilio.com/docs, "TwiML Voice:
// <Dial>" and "TwiML Voice: <Sip>"). A missing or impossible value is empty or zero.
type Ended struct {
	Call    string // from ActionURL
	Attempt int    // number of the attempt in ActionURL, from 1

	SID        string        // CallSid of the incoming call, not of the dialled one
	CallStatus string        // status of the incoming call: in-progress while the caller is there
	Status     string        // DialCallStatus: completed, answered, busy, no-answer, failed, canceled
	Duration   time.Duration // DialCallDuration, in whole seconds
	SIPCallID  string        // DialSipCallId: the Call-ID of Twilio's INVITE
	SIPStatus  int           // DialSipResponseCode: the final answer to that INVITE, 200 to 699
}

// These are the parameters that ActionURL adds to the URL.
const (
	paramCall    = "call"
	paramAttempt = "attempt"
)

// ActionURL returns the URL that Twilio requests when an attempt at a call has ended. base is the URL of
// NewEndedHandler's handler, without a query.
func ActionURL(base, call string, attempt int) string {
	return base + "?" + paramCall + "=" + url.QueryEscape(call) + "&" + paramAttempt + "=" + strconv.Itoa(attempt)
}

// maxDuration is the maximum of <Dial timeLimit>.
const maxDuration = 24 * time.Hour

// parseEnded reads the parameters of a request to the action URL.
func parseEnded(params url.Values) Ended {
	return Ended{
		Call: clean(params.Get(paramCall)), Attempt: bounded(params.Get(paramAttempt), 1, 9999),
		SID: clean(params.Get("CallSid")), CallStatus: clean(params.Get("CallStatus")),
		Status:    clean(params.Get("DialCallStatus")),
		Duration:  time.Duration(bounded(params.Get("DialCallDuration"), 0, int(maxDuration/time.Second))) * time.Second,
		SIPCallID: clean(params.Get("DialSipCallId")), SIPStatus: bounded(params.Get("DialSipResponseCode"), 200, 699),
	}
}

// bounded parses a number. It returns 0 if s is not a number or is out of bounds.
func bounded(s string, low, high int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0
	}
	return n
}

// clean returns s if it can be stored in a record, or "".
func clean(s string) string {
	if len(s) > maxURI || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return s
}

// Answered reports whether the caller was connected. A <Dial> to a conference ends with answered, any other with
// completed.
func (e Ended) Answered() bool { return e.Status == "completed" || e.Status == "answered" }

// CallerGone reports whether the incoming call has ended, so that it is useless to dial another target.
func (e Ended) CallerGone() bool {
	return e.Status == "canceled" || slices.Contains([]string{"completed", "canceled", "busy", "no-answer", "failed"},
		e.CallStatus)
}

// Next says what to do with a call when its <Dial> has ended. The zero value hangs up.
type Next struct {
	Dial     *Destination // dial another target
	Fallback bool         // there is no further target: the caller gets Options.Fallback
}

// NewEndedHandler returns the handler for the action URL in Destination.Action. It calls ended, and logs its error.
// ended must return when its context ends, after Options.Timeout at the latest. The call is already answered, so
// without a fallback it is hung up instead of rejected. Requests are refused in the same way as by NewHandler; every
// request of Twilio is answered with 200 and TwiML. An error means that the options are wrong. Options.Route is not
// called.
func NewEndedHandler(o Options, ended func(context.Context, Ended) (Next, error)) (http.Handler, error) {
	if ended == nil {
		return nil, errors.New("twilio: no function for ended calls")
	}
	h, err := newAnswered(o)
	if err != nil {
		return nil, err
	}
	hangup, err := document(response{Hangup: &struct{}{}})
	h.answer = func(ctx context.Context, params url.Values) ([]byte, *httpd.Refusal) {
		e := parseEnded(params)
		next, err := h.next(ctx, e, ended)
		body := hangup
		switch {
		case next.Dial != nil:
			var failed error
			body, failed = h.dial(*next.Dial)
			err = errors.Join(err, failed)
		case next.Fallback:
			body = h.fallback
		}
		h.opts.Log.WithLevel(levelOf(err)).Err(err).Str("call", e.Call).Int("attempt", e.Attempt).Str("call_sid", e.SID).
			Str("call_status", e.CallStatus).
			Str("dial_status", e.Status).Int("code", e.SIPStatus).Str("target_sip_call_id", e.SIPCallID).
			Dur("dur_ms", e.Duration).
			Msg("twilio dial ended")
		return body, nil
	}
	return h, err
}

// newAnswered returns a handler for answered calls. An answered call can't be rejected, so it is hung up instead.
func newAnswered(o Options) (*handler, error) {
	if o.Fallback == "" || strings.Contains(o.Fallback, "<Reject") {
		o.Fallback = "<Response><Hangup></Hangup></Response>"
	}
	return newHandler(o)
}

// next calls ended. If that panics, the caller gets the fallback.
func (h *handler) next(ctx context.Context, e Ended, ended func(context.Context, Ended) (Next, error)) (Next, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.opts.Timeout, errLate)
	defer cancel()
	next, err := httpd.Safely(func() (Next, error) { return ended(ctx, e) })
	next.Fallback = next.Fallback || errors.Is(err, httpd.ErrPanic)
	return next, err
}
