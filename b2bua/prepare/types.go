package prepare

import (
	"bytes"
	"fmt"
	"time"

	"flowbridge/config"
)

// Request is one prepare step.
type Request struct {
	config.Ask

	// IdempotencyKey is Flowbridge's id of the call. It is sent as the header Idempotency-Key, and the retry has the same.
	// If it is empty, none is sent. A repeated id is accepted only for the same key.
	IdempotencyKey string
	// Traceparent is the W3C header of the call's trace. If it is empty, none is sent.
	Traceparent string
}

// Prepared is the outcome of the step. CallID is set only on success, and empty if the answer should have no id. The
// other fields are set as far as the step came.
type Prepared struct {
	CallID   string
	Shared   bool          // the API gives each call this id
	Body     []byte        // the last answer as it came, at most Options.MaxBody bytes
	Status   int           // HTTP status of the last answer; 0 if there was none
	Attempts int           // requests sent: 1 or 2
	Elapsed  time.Duration // the whole step
}

// Kind is the reason that a step failed. The set is closed. Its values are stable, because they are causes in records
// and labels of metrics.
type Kind string

// The kinds of failure.
const (
	KindTimeout     Kind = "timeout"      // the budget ran out
	KindConnect     Kind = "connect"      // no connection, or it broke before the answer was complete
	KindHTTPStatus  Kind = "http_status"  // neither 2xx nor 429; includes redirects
	KindRateLimited Kind = "rate_limited" // 429
	KindMalformed   Kind = "malformed"    // not the documented JSON
	KindCallFailed  Kind = "call_failed"  // a member of the answer does not have the required value
	KindMissingID   Kind = "missing_id"   // a success without an id
	KindBadID       Kind = "bad_id"       // an id that cannot be carried in X-EI or a URI
	KindReusedID    Kind = "reused_id"    // an id that was given to another call before
	KindTooLarge    Kind = "too_large"    // an answer over MaxBody
	KindCancelled   Kind = "cancelled"    // the caller's context was cancelled
)

// Error is every error of the step.
type Error struct {
	Kind   Kind
	Status int    // HTTP status; 0 if there was no answer
	Detail string // the API's words, or what is wrong with its answer: at most 200 printable characters
	err    error
}

func (e *Error) Error() string {
	var b bytes.Buffer
	b.WriteString(string(e.Kind))
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(e.Detail)
	}
	if e.err != nil {
		b.WriteString(": ")
		b.WriteString(e.err.Error())
	}
	return b.String()
}

// Unwrap returns the transport's or the decoder's error, if any.
func (e *Error) Unwrap() error { return e.err }
