package synthflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"flowbridge/internal/rest"
)

const maxDetailLength = 200

// answer has the fields that decide. All others are ignored, so new ones do no harm.
type answer struct {
	CallStatus string          `json:"call_status"`
	CallID     string          `json:"synthflow_call_id"`
	Response   json.RawMessage `json:"response"`
}

// explanation has the fields in which the API says why a call has no id.
type explanation struct {
	ErrorMessage json.RawMessage `json:"error_message"`
	Validation   json.RawMessage `json:"error_message_payload_validation"`
	Detail       json.RawMessage `json:"detail"`
	Message      json.RawMessage `json:"message"`
}

// decodeAnswer applies the rule of success to the body of a 2xx: registered, with an id. The body is flat, or wrapped in
// "response".
func decodeAnswer(body []byte) (string, *Error) {
	a, plain := plainAnswer(body)
	if !plain {
		if err := json.Unmarshal(body, &a); err != nil {
			return "", &Error{Kind: KindMalformed, err: err}
		}
	}
	if a.CallStatus == "" && isObject(a.Response) {
		body, a = a.Response, answer{}
		if err := json.Unmarshal(body, &a); err != nil {
			return "", &Error{Kind: KindMalformed, err: err}
		}
	}
	switch {
	case a.CallStatus == "":
		return "", &Error{Kind: KindMalformed, Detail: joinDetail("no call_status", detailIn(body))}
	case a.CallStatus != "registered":
		return "", &Error{Kind: KindCallFailed, Detail: joinDetail("call_status "+a.CallStatus, detailIn(body))}
	case a.CallID == "":
		return "", &Error{Kind: KindMissingID, Detail: detailIn(body)}
	}
	if why := badID(a.CallID); why != "" {
		return "", &Error{Kind: KindBadID, Detail: why}
	}
	return a.CallID, nil
}

// plainAnswer reads an answer of the usual form: one flat object of texts and nulls, in ASCII without escapes. ok is false for
// everything else, which is encoding/json's to read or to refuse; that takes about four times as long.
func plainAnswer(body []byte) (a answer, ok bool) {
	const space = " \t\r\n"
	rest, before := bytes.TrimLeft(body, space), byte('{')
	for ; len(rest) > 0 && rest[0] == before; before = ',' {
		name, after, isText := plainText(bytes.TrimLeft(rest[1:], space))
		after, colon := bytes.CutPrefix(bytes.TrimLeft(after, space), []byte(":"))
		if !isText || !colon {
			return answer{}, false
		}
		after = bytes.TrimLeft(after, space)
		value, end, isText := plainText(after)
		if !isText {
			if end, isText = bytes.CutPrefix(after, []byte("null")); !isText {
				return answer{}, false
			}
		}
		switch name := string(name); {
		case value == nil: // null changes nothing
		case name == "call_status":
			a.CallStatus = string(value)
		case name == "synthflow_call_id":
			a.CallID = string(value)
		case strings.EqualFold(name, "call_status"), strings.EqualFold(name, "synthflow_call_id"), strings.EqualFold(name, "response"):
			return answer{}, false
		}
		rest = bytes.TrimLeft(end, space)
	}
	return a, before == ',' && string(bytes.TrimRight(rest, space)) == "}"
}

// plainText reads a text in quotes of printable ASCII without escapes, and gives what is behind it. The text is not nil.
func plainText(b []byte) (text, after []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[1:i], b[i+1:], true
		case c < ' ', c > '~', c == '\\':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// errorDetail finds the API's own words in the body of a refusal.
func errorDetail(body []byte) string {
	if d := detailIn(body); d != "" {
		return d
	}
	var a answer
	if json.Unmarshal(body, &a) == nil && isObject(a.Response) {
		return detailIn(a.Response)
	}
	return ""
}

// detailIn finds the API's own words in an object.
func detailIn(body []byte) string {
	var e explanation
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	for _, raw := range []json.RawMessage{e.ErrorMessage, e.Validation, e.Detail, e.Message} {
		if s := words(raw); s != "" {
			return s
		}
	}
	return ""
}

// words renders a JSON value for a person: a string as itself, an object by its description if it has one, anything else as
// compact JSON.
func words(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var o struct {
		Description string `json:"description"`
	}
	if json.Unmarshal(raw, &o) == nil && o.Description != "" {
		return o.Description
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return ""
	}
	return b.String()
}

func isObject(raw json.RawMessage) bool {
	return len(raw) > 0 && raw[0] == '{'
}

func joinDetail(what, words string) string {
	if words == "" {
		return what
	}
	return what + ": " + words
}

// badID says why an id cannot stand in an X-EI token, or "".
func badID(id string) string {
	if at := strings.IndexByte(id, ';'); at >= 0 {
		return fmt.Sprintf("id with byte 0x%02x at %d", ';', at)
	}
	return rest.BadID(id)
}

// clean bounds a text of the API to what may stand in a log line.
func clean(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == maxDetailLength {
			break
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			r = ' '
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}
