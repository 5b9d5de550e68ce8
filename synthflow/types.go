package synthflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Variable is one custom variable of a call.
type Variable struct {
	Name  string
	Value string
}

// InboundRequest describes a call to the platform before its INVITE.
type InboundRequest struct {
	FromNumber      string
	ToNumber        string
	ModelID         string
	WorkspaceID     string
	CustomVariables []Variable // sent as one flat object, in this order

	// IdempotencyKey is Flowbridge's id of the call. It is sent as the header Idempotency-Key, the same for the retry; empty
	// sends none. An id that the API gives twice is accepted for the same key only.
	IdempotencyKey string
	// Traceparent is the W3C header of the call's trace; empty sends none.
	Traceparent string
}

// PreparedCall is the outcome of the step. CallID is set on success only, the other fields as far as the step came.
type PreparedCall struct {
	CallID   string
	Shared   bool          // the API gives each call this id
	Body     []byte        // the last answer as it came, at most Options.MaxBody
	Status   int           // HTTP status of the last answer, 0 without one
	Attempts int           // requests sent: 1 or 2
	Elapsed  time.Duration // the whole step
}

// Kind says why a step failed. The set is closed. Its values are stable, because they are causes in records and labels of
// metrics.
type Kind string

// The kinds of failure.
const (
	KindTimeout     Kind = "timeout"      // the budget ran out
	KindConnect     Kind = "connect"      // no connection, or it broke before the answer was complete
	KindHTTPStatus  Kind = "http_status"  // neither 2xx nor 429; includes redirects
	KindRateLimited Kind = "rate_limited" // 429
	KindMalformed   Kind = "malformed"    // not the JSON that is documented
	KindCallFailed  Kind = "call_failed"  // call_status is not registered
	KindMissingID   Kind = "missing_id"   // registered, without synthflow_call_id
	KindBadID       Kind = "bad_id"       // an id that cannot be carried in X-EI
	KindReusedID    Kind = "reused_id"    // an id that was given to another call before
	KindTooLarge    Kind = "too_large"    // an answer over MaxBody
	KindCancelled   Kind = "cancelled"    // the caller's context was cancelled
)

// Error is every error PrepareInbound returns.
type Error struct {
	Kind   Kind
	Status int    // HTTP status, 0 without an answer
	Detail string // the API's words, or what is wrong with its answer: at most 200 printable characters
	err    error
}

func (e *Error) Error() string {
	var b bytes.Buffer
	b.WriteString("prepare_inbound: ")
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

// Unwrap returns the transport's or the decoder's error, if there is one.
func (e *Error) Unwrap() error { return e.err }

// body encodes the request. The order of fields is fixed, so two attempts are byte for byte the same.
func (r InboundRequest) body() ([]byte, error) {
	fields := [...]Variable{
		{"from_number", r.FromNumber},
		{"to_number", r.ToNumber},
		{"model_id", r.ModelID},
		{"workspace_id", r.WorkspaceID},
	}
	const perMember = len(`"":"",`)
	size := len(`{"custom_variables":{}}`)
	for _, list := range [...][]Variable{fields[:], r.CustomVariables} {
		for _, v := range list {
			size += perMember + len(v.Name) + len(v.Value)
		}
	}
	b := append(make([]byte, 0, size), '{')
	var err error
	for _, f := range fields {
		if b, err = appendMember(b, f); err != nil {
			return nil, err
		}
		b = append(b, ',')
	}
	b = append(b, `"custom_variables":{`...)
	for i, v := range r.CustomVariables {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendMember(b, v); err != nil {
			return nil, err
		}
	}
	return append(b, "}}"...), nil
}

func appendMember(b []byte, v Variable) ([]byte, error) {
	b, err := appendString(b, v.Name)
	if err != nil {
		return nil, err
	}
	return appendString(append(b, ':'), v.Value)
}

// appendString appends a string as JSON.
func appendString(b []byte, s string) ([]byte, error) {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return append(append(append(b, '"'), s...), '"'), nil
	}
	out := bytes.NewBuffer(b)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, err
	}
	return out.Bytes()[:out.Len()-1], nil // without the encoder's newline
}
