// Package tracecontext provides the ids of a call's trace: W3C Trace Context (https://www.w3.org/TR/trace-context/) in
// the form that calls carry, and spans whose ids are derived from the call's id.
//
//	traceparent: 00-<32 hex digits: trace>-<16 hex digits: span>-<2 hex digits: flags>
//
// Decisions:
//
//   - Ids need no state. A call that brings no trace uses its own id, a UUID, which has as many bytes. A span's id is a
//     hash of the call's id, its kind and its number, so ids sent during the call name the spans that are made from the
//     record after its end (TestSpans).
//   - All traces are sampled, except if the caller decides otherwise (TestNew). A collector can reduce them.
package tracecontext

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// Name is the header's name, in HTTP and in SIP.
const Name = "traceparent"

// maxLength bounds a value that is parsed, in bytes. Version 00 has 55 bytes; later versions may append to it.
const maxLength = 256

// TraceID names a trace. Zero means none.
type TraceID [16]byte

// SpanID names a span of a trace. Zero means none.
type SpanID [8]byte

// String returns the id in hex digits, or "" for none.
func (t TraceID) String() string {
	if t == (TraceID{}) {
		return ""
	}
	return hex.EncodeToString(t[:])
}

// Parent is the content of a traceparent header.
type Parent struct {
	Trace   TraceID
	Span    SpanID
	Sampled bool
}

// String returns the header's value, of version 00.
func (p Parent) String() string {
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, p.Trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, p.Span[:])
	if p.Sampled {
		return string(append(b, "-01"...))
	}
	return string(append(b, "-00"...))
}

// Parse parses a header's value. Of a version after 00 it reads the part that it knows (W3C section 4.3). ok is false
// for an invalid value, which must be ignored.
func Parse(value string) (p Parent, ok bool) {
	v := strings.TrimSpace(value)
	if len(v) > maxLength || len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return Parent{}, false
	}
	var version, flags [1]byte
	isHex := v[:55] == strings.ToLower(v[:55])
	for _, part := range []struct {
		into   []byte
		digits string
	}{{version[:], v[:2]}, {p.Trace[:], v[3:35]}, {p.Span[:], v[36:52]}, {flags[:], v[53:55]}} {
		_, err := hex.Decode(part.into, []byte(part.digits))
		isHex = isHex && err == nil
	}
	if !isHex || version[0] == 0xff || len(v) > 55 && (version[0] == 0 || v[55] != '-') {
		return Parent{}, false
	}
	p.Sampled = flags[0]&1 == 1
	return p, p.Trace != TraceID{} && p.Span != SpanID{}
}

// Kind says what a span covers.
type Kind string

// The kinds of spans. A call has at most one each of KindCall, KindRinging and KindAnswered, and one of the others for
// each attempt.
const (
	KindCall     Kind = "call"
	KindRinging  Kind = "ringing"
	KindAnswered Kind = "answered"
	KindAttempt  Kind = "attempt"
	KindTransfer Kind = "transfer"
	KindPrepare  Kind = "prepare"
)

// Span returns the id of one span of a call. attempt counts from 1; it is 0 for kinds that occur once.
func Span(callID string, kind Kind, attempt int) (id SpanID) {
	if kind == KindTransfer { // the id must not depend on the reason for the attempt
		kind = KindAttempt
	}
	var room [96]byte
	b := append(append(append(append(append(room[:0], "flowbridge span "...), callID...), ' '), kind...), ' ')
	sum := sha256.Sum256(strconv.AppendInt(b, int64(attempt), 10))
	copy(id[:], sum[:])
	id[0] |= 1 // a span's id is never zero
	return id
}

// OfCall returns the trace of a call that brings none: the bytes of its id, if that is a UUID. Otherwise ok is false.
func OfCall(callID string) (t TraceID, ok bool) {
	var room [2 * len(t)]byte
	digits := room[:0]
	for i := range len(callID) {
		switch {
		case callID[i] == '-':
		case len(digits) == len(room):
			return TraceID{}, false
		default:
			digits = append(digits, callID[i])
		}
	}
	if len(digits) != len(room) {
		return TraceID{}, false
	}
	_, err := hex.Decode(t[:], digits)
	return t, err == nil && t != TraceID{}
}

// Trace is the trace of one live call.
type Trace struct {
	callID string
	caller Parent // zero if the caller brought none
	id     TraceID
	on     bool // spans are exported
}

// New returns the trace of a call. brought is the caller's traceparent header; it is "" if there is none or the caller
// is not trusted. on says whether spans are exported.
func New(callID, brought string, on bool) Trace {
	t := Trace{callID: callID, on: on}
	t.caller, _ = Parse(brought)
	t.id = t.caller.Trace
	if t.id == (TraceID{}) {
		t.id, _ = OfCall(callID)
	}
	return t
}

// ID returns the trace's id for logs and the record, or "" if the call is not traced.
func (t Trace) ID() string {
	if !t.on && !t.Brought() {
		return ""
	}
	return t.id.String()
}

// Brought reports whether the caller brought the trace.
func (t Trace) Brought() bool { return t.caller != Parent{} }

// Caller returns the header that the caller brought, or "".
func (t Trace) Caller() string {
	if !t.Brought() {
		return ""
	}
	return t.caller.String()
}

// Sampled reports whether the spans of the call are exported. If the caller brings the trace, the caller decides.
func (t Trace) Sampled() bool { return t.on && (t.caller.Sampled || !t.Brought()) }

// Header returns the value for a request in one of the call's spans. If the call has no spans of its own, it is the
// caller's header (W3C section 3.4).
func (t Trace) Header(kind Kind, attempt int) string {
	switch {
	case t.id == (TraceID{}):
		return ""
	case !t.on && t.Brought():
		return t.caller.String()
	}
	return Parent{t.id, Span(t.callID, kind, attempt), t.Sampled()}.String()
}

// key is the key of a header in a context.
type key struct{}

// With adds a header to the requests of a context.
func With(ctx context.Context, header string) context.Context {
	return context.WithValue(ctx, key{}, header)
}

// From returns the header for the requests of a context, or "".
func From(ctx context.Context) string {
	header, _ := ctx.Value(key{}).(string)
	return header
}
