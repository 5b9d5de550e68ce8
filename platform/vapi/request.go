package vapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// maxRequest bounds a message of the platform, in bytes. The report of a long call contains its transcript.
const maxRequest = 1 << 20

const (
	maxDepth       = 64
	maxValues      = 20000 // values decoded from a message
	maxHeaders     = 128
	maxHeaderName  = 128
	maxHeaderValue = 4096
	maxField       = 1024 // limit in bytes for any other member that is kept
)

// Request is the platform's request for the assistant of a call: its server message "assistant-request" (Vapi's page
// "Server events"). A field that the platform did not send is empty. Callers can control the content of all fields.
type Request struct {
	// CallID is the platform's id of the call (call.id).
	CallID string
	// SIPCallID is the Call-ID of the INVITE, by which Flowbridge finds its call. The platform does not document where it
	// is; messages have it in call.phoneCallProviderDetails.sbcCallId and call.transport.sbcCallSid.
	SIPCallID string
	// PhoneNumberID is the platform's id of the called number.
	PhoneNumberID string
	// CalledNumber and CalledURI are the called number (phoneNumber.number, phoneNumber.sipUri). A number of provider
	// "vapi" has only a URI.
	CalledNumber, CalledURI string
	// CustomerNumber and CustomerURI are the caller (customer.number, customer.sipUri).
	CustomerNumber, CustomerURI string
	// Headers are the call's SIP headers that the platform passes on, by lower-case name. See Header.
	Headers map[string]string
}

// Header returns a header of the call, or "". The name's case does not matter.
//
// The platform does not document where headers are. The first of these places that has the header counts: members of
// objects named headers or sipHeaders; members anywhere whose name starts with x-; and the template variables that the
// platform makes from x- headers of calls over SIP (call.assistantOverrides.variableValues, lower-case names without
// x-).
func (r Request) Header(name string) string { return r.Headers[strings.ToLower(name)] }

// message is a server message of the platform. Its parts are decoded when they are needed; others, such as transcripts,
// are skipped.
type message struct {
	kind string
	parts
}

type parts struct {
	Type            json.RawMessage `json:"type"`
	Call            json.RawMessage `json:"call"`
	Customer        json.RawMessage `json:"customer"`
	PhoneNumber     json.RawMessage `json:"phoneNumber"`
	EndedReason     json.RawMessage `json:"endedReason"`
	DurationSeconds json.RawMessage `json:"durationSeconds"`
	StartedAt       json.RawMessage `json:"startedAt"`
	EndedAt         json.RawMessage `json:"endedAt"`
}

// parseMessage parses {"message": {"type": …, …}}.
func parseMessage(body []byte) (message, error) {
	if err := checkDepth(body); err != nil {
		return message{}, err
	}
	var envelope struct {
		Message *parts `json:"message"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&envelope); err != nil {
		return message{}, explainJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return message{}, errors.New("there is something after the JSON object")
	}
	if envelope.Message == nil {
		return message{}, errors.New(`the member "message" is missing, or no object`)
	}
	m := message{parts: *envelope.Message}
	kind, ok := scalarOf(m.Type).(string)
	if !ok || kind == "" || len(kind) > maxField {
		return message{}, errors.New(`the member "message.type" is missing, or no string`)
	}
	m.kind = kind
	if countValues(m.Call)+countValues(m.Customer)+countValues(m.PhoneNumber) > maxValues {
		return message{}, fmt.Errorf("there are more than %d values in call, customer and phoneNumber", maxValues)
	}
	return m, nil
}

// valueOf decodes a part of a message, and returns nil if it is missing.
func valueOf(raw json.RawMessage) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}

// scalarOf decodes a part that should be a text or a number, and returns nil for anything else.
func scalarOf(raw json.RawMessage) any {
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' {
		return nil
	}
	return valueOf(raw)
}

// countValues returns the maximum number of values that the JSON can have. Decoding a value takes many times its size
// in memory. The first value of a list or object follows a bracket, every other one follows a comma.
func countValues(raw []byte) int {
	n, quoted := 1, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			n++
		}
	}
	return n
}

// explainJSON describes an error in JSON without Go's type names.
func explainJSON(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if t.Field == "" {
			return fmt.Errorf("want a JSON object, got: %s", t.Value)
		}
		return fmt.Errorf("the member %q is a JSON %s; want an object", t.Field, t.Value)
	}
	return fmt.Errorf("not JSON: %w", err)
}

// checkDepth refuses, before decoding, a nesting depth that no message of the platform has.
func checkDepth(body []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested more than %d deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// request reads an assistant-request. It leaves out missing or malformed members.
func (m message) request() Request {
	body := map[string]any{"call": valueOf(m.Call), "customer": valueOf(m.Customer), "phoneNumber": valueOf(m.PhoneNumber)}
	call := memberObject(body, "call")
	number, customer := memberObject(body, "phoneNumber"), memberObject(call, "customer")
	if customer == nil {
		customer = memberObject(body, "customer")
	}
	details, transport := memberObject(call, "phoneCallProviderDetails"), memberObject(call, "transport")
	r := Request{
		CallID:         memberText(call, "id"),
		PhoneNumberID:  cmp.Or(memberText(call, "phoneNumberId"), memberText(number, "id")),
		CalledNumber:   memberText(number, "number"),
		CalledURI:      memberText(number, "sipUri"),
		CustomerNumber: memberText(customer, "number"),
		CustomerURI:    memberText(customer, "sipUri"),
		Headers:        headersOf(body),
	}
	r.SIPCallID = cmp.Or(memberText(details, "sbcCallId"), memberText(transport, "sbcCallSid"), r.Header("call-id"))
	return r
}

func memberObject(in map[string]any, name string) map[string]any {
	out, _ := in[name].(map[string]any)
	return out
}

// memberText returns a member that is a string, or a number as text.
func memberText(in map[string]any, name string) string { return text(in[name]) }

func text(v any) string {
	s, ok := plain(v)
	if !ok || len(s) > maxField {
		return ""
	}
	return s
}

func plain(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// headersOf collects the SIP headers of a message. See Header for the order of precedence.
func headersOf(body map[string]any) map[string]string {
	var found headerWalk
	for i := range found {
		found[i] = map[string]string{}
	}
	for _, part := range []string{"call", "customer", "phoneNumber"} {
		found.walk(body[part], false)
	}
	out := map[string]string{}
	for _, rank := range found {
		for _, name := range slices.Sorted(maps.Keys(rank)) {
			if _, there := out[name]; !there && len(out) < maxHeaders {
				out[name] = rank[name]
			}
		}
	}
	return out
}

// headerWalk holds the headers that were found, by place: as a header, as a member with the name of a header, and as a
// template variable.
type headerWalk [3]map[string]string

// walk visits members in the order of their names, so that the same message always yields the same headers.
func (w *headerWalk) walk(v any, headers bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			w.walk(item, headers)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			w.member(name, v[name], headers)
		}
	}
}

func (w *headerWalk) member(name string, v any, headers bool) {
	lower := strings.ToLower(name)
	switch lower {
	// These hold the platform's own requests, credentials and assistants, but no SIP headers.
	case "server", "authentication", "assistant", "squad", "credentials", "artifact":
		return
	case "headers", "sipheaders":
		w.walk(v, true)
		return
	case "variablevalues":
		values, _ := v.(map[string]any)
		for _, variable := range slices.Sorted(maps.Keys(values)) {
			w.add(2, "x-"+strings.ToLower(variable), values[variable])
		}
		return
	}
	switch v.(type) {
	case map[string]any, []any:
		w.walk(v, false)
	default:
		if headers {
			w.add(0, lower, v)
		} else if strings.HasPrefix(lower, "x-") {
			w.add(1, lower, v)
		}
	}
}

func (w *headerWalk) add(rank int, name string, v any) {
	value, ok := plain(v)
	if !ok || name == "" || len(name) > maxHeaderName || len(value) > maxHeaderValue || len(w[rank]) >= maxHeaders {
		return
	}
	if _, there := w[rank][name]; !there {
		w[rank][name] = value
	}
}
