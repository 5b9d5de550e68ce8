package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// Ended is how a <Dial> ended, as Twilio tells its action URL (twilio.com/docs,
// "TwiML Voice: <Dial>" and "TwiML Voice: <Sip>"). What was not sent, or can't
// be what it is, is empty or zero.
type Ended struct {
	Call    string // of ActionURL
	Attempt int    // of ActionURL, from 1

	SID        string        // CallSid: of the call that came in, not of the one that was dialled
	CallStatus string        // of that call: in-progress while the caller is there
	Status     string        // DialCallStatus: completed, answered, busy, no-answer, failed, canceled
	Duration   time.Duration // DialCallDuration, in whole seconds
	SIPCallID  string        // DialSipCallId: the Call-ID of Twilio's INVITE
	SIPStatus  int           // DialSipResponseCode: its final answer, 200 to 699
}

// The parameters of the action URL that are ours.
const (
	paramCall    = "call"
	paramAttempt = "attempt"
)

// ActionURL is the URL to be asked when an attempt at a call has ended. base is
// where NewEndedHandler's handler is asked, without a query.
func ActionURL(base, call string, attempt int) string {
	return base + "?" + paramCall + "=" + url.QueryEscape(call) + "&" + paramAttempt + "=" + strconv.Itoa(attempt)
}

// maxDuration is the longest that <Dial timeLimit> can be.
const maxDuration = 24 * time.Hour

// ParseEnded reads the parameters of a request to the action URL.
func ParseEnded(params url.Values) Ended {
	return Ended{
		Call: clean(params.Get(paramCall)), Attempt: bounded(params.Get(paramAttempt), 1, 9999),
		SID: clean(params.Get("CallSid")), CallStatus: clean(params.Get("CallStatus")), Status: clean(params.Get("DialCallStatus")),
		Duration:  time.Duration(bounded(params.Get("DialCallDuration"), 0, int(maxDuration/time.Second))) * time.Second,
		SIPCallID: clean(params.Get("DialSipCallId")), SIPStatus: bounded(params.Get("DialSipResponseCode"), 200, 699),
	}
}

// bounded is the number that s is; 0 if it is none, or out of bounds.
func bounded(s string, low, high int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0
	}
	return n
}

// clean is s as a record can keep it; empty where nobody would mean it.
func clean(s string) string {
	if len(s) > maxURI || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return s
}

// Answered says that the two were put through. A <Dial> to a conference says
// answered, anything else completed.
func (e Ended) Answered() bool { return e.Status == "completed" || e.Status == "answered" }

// CallerGone says that there is nobody any more whom another target could
// serve: the call that came in is over, or was cancelled.
func (e Ended) CallerGone() bool {
	return e.Status == "canceled" || slices.Contains([]string{"completed", "canceled", "busy", "no-answer", "failed"}, e.CallStatus)
}

// Next is what becomes of a call when what was dialled for it has ended. The
// zero value hangs up.
type Next struct {
	Dial     *Destination // it goes to another target
	Fallback bool         // it goes nowhere: the caller gets Options.Fallback
}

// endedHandler is the action URL.
type endedHandler struct {
	*handler
	ended    func(context.Context, Ended) (Next, error)
	fallback []byte
	hangup   []byte
}

// NewEndedHandler gives the handler of the action URL of Destination.Action. It
// asks ended, whose error is logged, and which has to return when its context
// ends, Options.Timeout at the latest. The call is answered by then, so what
// would reject it hangs up. Requests are refused as NewHandler's are, and
// everything that is Twilio's is answered with 200 and TwiML.
//
// The error is of the options, whose Route is not asked.
func NewEndedHandler(o Options, ended func(context.Context, Ended) (Next, error)) (http.Handler, error) {
	if ended == nil {
		return nil, errors.New("twilio: nobody to tell the end of a call")
	}
	shared, err := buildHandler(o)
	if err != nil {
		return nil, err
	}
	h := &endedHandler{handler: shared, ended: ended}
	if h.hangup, err = document(response{Hangup: &struct{}{}}); err != nil {
		return nil, err
	}
	h.fallback = shared.fallback
	if f := shared.opts.Fallback; f.Reject != "" || f == (Fallback{}) { // takes calls only that are not answered yet
		h.fallback = h.hangup
	}
	return h, nil
}

// ServeHTTP answers one request.
func (h *endedHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	params, refused := h.admit(w, r)
	if refused != nil {
		h.refuse(w, r, refused)
		return
	}
	e := ParseEnded(params)
	body, err := h.answer(r.Context(), e)
	level := zerolog.InfoLevel
	if err != nil {
		level = zerolog.WarnLevel
	}
	h.opts.Log.WithLevel(level).Err(err).Str("call", e.Call).Int("attempt", e.Attempt).Str("call_sid", e.SID).Str("call_status", e.CallStatus).
		Str("dial_status", e.Status).Int("code", e.SIPStatus).Str("target_sip_call_id", e.SIPCallID).Dur("duration", e.Duration).
		Msg("twilio dial ended")
	w.Header().Set("Content-Type", ContentType)
	_, _ = w.Write(body)
}

// answer gives TwiML in any case.
func (h *endedHandler) answer(ctx context.Context, e Ended) ([]byte, error) {
	next, err := h.next(ctx, e)
	switch {
	case next.Dial != nil:
		body, failed := h.dial(*next.Dial)
		if failed != nil {
			return h.fallback, errors.Join(err, failed)
		}
		return body, err
	case next.Fallback:
		return h.fallback, err
	default:
		return h.hangup, err
	}
}

// next asks ended. The caller of a fault of ours gets the fallback.
func (h *endedHandler) next(ctx context.Context, e Ended) (next Next, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.opts.Timeout, errLate)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			next, err = Next{Fallback: true}, fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return h.ended(ctx, e)
}
