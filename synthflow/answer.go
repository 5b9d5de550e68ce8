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
	a, usual := usualAnswer(body)
	if !usual {
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

// usualAnswer finds the two texts that matter in an answer whose members have them as they are, without escapes. ok is false
// for every other answer, which is encoding/json's to read or to refuse; that takes twice as long.
func usualAnswer(body []byte) (a answer, ok bool) {
	ok = json.Valid(body)
	depth, isValue := 0, false // of the first depth
	var wanted *string         // whose value comes next
	for i := 0; ok && i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',', ':':
			isValue = isValue && depth > 1 || body[i] == ':' && depth == 1
		case '"':
			text, plain := quoted(body[i+1:])
			i += len(text) + 1
			switch {
			case depth > 1, isValue && wanted == nil:
			case isValue:
				*wanted, wanted, ok = string(text), nil, plain
			default:
				ok = plain && wanted == nil // a value that is wanted was a text
				wanted, ok = a.member(text, ok)
			}
		}
	}
	return a, ok && wanted == nil && a.CallStatus != "" && a.CallID != ""
}

// member is where the value of a member belongs; nil: nowhere. ok is false for a name that encoding/json takes for one of these.
func (a *answer) member(name []byte, ok bool) (*string, bool) {
	switch {
	case string(name) == "call_status":
		return &a.CallStatus, ok
	case string(name) == "synthflow_call_id":
		return &a.CallID, ok
	}
	return nil, ok && !bytes.EqualFold(name, []byte("call_status")) && !bytes.EqualFold(name, []byte("synthflow_call_id"))
}

// quoted is what stands before the end of a text in quotes. plain: it is the text, in printable ASCII without escapes.
func quoted(b []byte) (text []byte, plain bool) {
	plain = true
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[:i], plain
		case c == '\\':
			i++
			plain = false
		case c < ' ', c > '~':
			plain = false
		}
	}
	return b, false
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
