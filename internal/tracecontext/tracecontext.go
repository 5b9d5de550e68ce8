// Package tracecontext has the ids of a call's trace: W3C Trace Context (https://www.w3.org/TR/trace-context/) as calls
// carry it, and spans whose ids follow from the call's id.
//
//	traceparent: 00-<32 hex digits: trace>-<16 hex digits: span>-<2 hex digits: flags>
//
// Decisions:
//
//   - Ids need no state. The trace of a call that brings none is the call's own id, which is a UUID and has as many
//     bytes. A span's id is a hash of the call's id, its kind and its number, so what was sent while the call lived
//     names the span that is made from the record when it has ended (TestSpans).
//   - All traces are sampled, but those whose caller has decided otherwise (TestNew). A collector takes its share.
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

// maxLength bounds a value that is read, in bytes. Version 00 has 55; later versions may append to it.
const maxLength = 256

// TraceID names a trace. Zero: none.
type TraceID [16]byte

// SpanID names a span of a trace. Zero: none.
type SpanID [8]byte

// String is the id in hex digits; empty for none.
func (t TraceID) String() string {
	if t == (TraceID{}) {
		return ""
	}
	return hex.EncodeToString(t[:])
}

// Parent is what a traceparent header says.
type Parent struct {
	Trace   TraceID
	Span    SpanID
	Sampled bool
}

// String is the header's value, of version 00.
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

// Parse reads a header's value. Of a version after 00 it takes what it knows (W3C section 4.3). ok is false for a value
// that is none, which is to be ignored.
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

// Kind is what a span of a call is about.
type Kind string

// The kinds of spans. A call has one of each of KindCall, KindRinging and KindAnswered at most, and one of the others
// for each attempt.
const (
	KindCall     Kind = "call"
	KindRinging  Kind = "ringing"
	KindAnswered Kind = "answered"
	KindAttempt  Kind = "attempt"
	KindTransfer Kind = "transfer"
	KindPrepare  Kind = "prepare"
)

// Span is the id of one span of a call. attempt counts from 1; it is 0 for what the call has one of.
func Span(callID string, kind Kind, attempt int) (id SpanID) {
	if kind == KindTransfer { // whoever sends the id does not ask why the attempt was made
		kind = KindAttempt
	}
	var room [96]byte
	b := append(append(append(append(append(room[:0], "flowbridge span "...), callID...), ' '), kind...), ' ')
	sum := sha256.Sum256(strconv.AppendInt(b, int64(attempt), 10))
	copy(id[:], sum[:])
	id[0] |= 1 // a span's id is never zero
	return id
}

// OfCall is the trace of a call that brings none: the bytes of its id, a UUID. ok is false for another form of id.
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

// Trace is the trace of one call, as the call needs it while it lives.
type Trace struct {
	callID string
	caller Parent // of the caller; zero: it brought none
	id     TraceID
	on     bool // spans are exported
}

// New is the trace of a call. brought is the caller's traceparent header, empty if there is none or the caller is not
// trusted with one. on says whether spans are exported.
func New(callID, brought string, on bool) Trace {
	t := Trace{callID: callID, on: on}
	t.caller, _ = Parse(brought)
	t.id = t.caller.Trace
	if t.id == (TraceID{}) {
		t.id, _ = OfCall(callID)
	}
	return t
}

// ID is the trace's id for logs and the record: empty if nothing is traced.
func (t Trace) ID() string {
	if !t.on && !t.Brought() {
		return ""
	}
	return t.id.String()
}

// Brought says whether the caller brought the trace.
func (t Trace) Brought() bool { return t.caller != Parent{} }

// Caller is the header that the caller brought; empty: none.
func (t Trace) Caller() string {
	if !t.Brought() {
		return ""
	}
	return t.caller.String()
}

// Sampled reports whether the spans of the call are exported. A caller that brings the trace decides.
func (t Trace) Sampled() bool { return t.on && (t.caller.Sampled || !t.Brought()) }

// Header is the value to send with a request of one of the call's spans. A call without spans of its own passes on what
// the caller brought (W3C section 3.4).
func (t Trace) Header(kind Kind, attempt int) string {
	switch {
	case t.id == (TraceID{}):
		return ""
	case !t.on && t.Brought():
		return t.caller.String()
	}
	return Parent{t.id, Span(t.callID, kind, attempt), t.Sampled()}.String()
}

// key is that of a header in a context.
type key struct{}

// With has the requests of a context carry a header.
func With(ctx context.Context, header string) context.Context {
	return context.WithValue(ctx, key{}, header)
}

// From is the header for the requests of a context; empty: none.
func From(ctx context.Context) string {
	header, _ := ctx.Value(key{}).(string)
	return header
}
