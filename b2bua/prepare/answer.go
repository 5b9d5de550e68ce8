package prepare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/rest"
)

// explanation has the members in which APIs explain why a call has no id.
type explanation struct {
	ErrorMessage json.RawMessage `json:"error_message"`
	Validation   json.RawMessage `json:"error_message_payload_validation"`
	Detail       json.RawMessage `json:"detail"`
	Message      json.RawMessage `json:"message"`
	Error        json.RawMessage `json:"error"`
}

// Judge returns why the body of an answer does not count as a success, or nil if it does.
func Judge(body []byte, want *config.Answer) error {
	if _, err := readAnswer(body, want); err != nil {
		return err
	}
	return nil
}

// readAnswer applies the success rule to the body of an answer whose status is a success, and returns the id, if the
// answer must have one.
func readAnswer(body []byte, want *config.Answer) (string, *Error) {
	if found, usual := usualAnswer(body, want); usual {
		for i, m := range want.Members {
			if found[i] != m.Value {
				return "", notAsWanted(m.Path, found[i], body)
			}
		}
		return goodID(found[len(want.Members)])
	}
	if want.ID == "" && len(want.Members) == 0 && len(bytes.TrimSpace(body)) == 0 {
		return "", nil
	}
	v, err := template.DecodeJSON(body)
	if err != nil {
		return "", &Error{Kind: KindMalformed, err: err}
	}
	if inner := template.AtPath(v, want.Within); want.Within != "" && len(want.Members) > 0 &&
		template.AtPath(v, want.Members[0].Path) == nil && isObject(inner) {
		v = inner
		if unwrapped, err := json.Marshal(inner); err == nil {
			body = unwrapped
		}
	}
	for _, m := range want.Members {
		if err := compare(template.AtPath(v, m.Path), m, body); err != nil {
			return "", err
		}
	}
	if want.ID == "" {
		return "", nil
	}
	switch id := template.AtPath(v, want.ID).(type) {
	case nil:
		return "", &Error{Kind: KindMissingID, Detail: joinDetail("no "+want.ID, detailIn(body))}
	case string:
		if id == "" {
			return "", &Error{Kind: KindMissingID, Detail: joinDetail(want.ID+" is empty", detailIn(body))}
		}
		return goodID(id)
	default:
		return "", &Error{Kind: KindMalformed, Detail: want.ID + " is " + kindOfJSON(id) + ", not a text"}
	}
}

// compare returns how a value differs from the value that an answer must have, or nil if they are equal.
func compare(got any, want config.Member, body []byte) *Error {
	switch {
	case got == nil:
		return &Error{Kind: KindMalformed, Detail: joinDetail("no "+want.Path, detailIn(body))}
	case kindOfJSON(got) != kindOfJSON(want.Value):
		return &Error{Kind: KindMalformed, Detail: want.Path + " is " + kindOfJSON(got) + ", not " + kindOfJSON(want.Value)}
	case got != want.Value:
		return notAsWanted(want.Path, got, body)
	}
	return nil
}

func notAsWanted(path string, got any, body []byte) *Error {
	return &Error{Kind: KindCallFailed, Detail: joinDetail(fmt.Sprintf("%s %v", path, got), detailIn(body))}
}

// kindOfJSON names the kind of a decoded value.
func kindOfJSON(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	}
	return "an object"
}

// goodID returns an error for an id that can't be sent in a header. An empty id means that the answer has none.
func goodID(id string) (string, *Error) {
	if id == "" {
		return "", nil
	}
	if why := rest.BadID(id); why != "" {
		return "", &Error{Kind: KindBadID, Detail: why}
	}
	return id, nil
}

// maxUsual bounds the members that usualAnswer looks for.
const maxUsual = 4

// usualAnswer finds the needed texts in an answer whose texts have no escapes: those of want.Members first, then the
// id. ok is false for every other answer, which encoding/json must read or refuse in twice the time.
func usualAnswer(body []byte, want *config.Answer) (found [maxUsual]string, ok bool) {
	names, n := usualNames(want)
	ok = n > 0 && json.Valid(body)
	depth, isValue, wanted := 0, false, -1 // at the top level: index of the member whose value comes next, or -1
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
			case depth > 1, isValue && wanted < 0:
			case isValue:
				found[wanted], wanted, ok = string(text), -1, plain
			default:
				ok = plain && wanted < 0 // a wanted value must be a text
				wanted = slices.IndexFunc(names[:n], func(name string) bool { return name == string(text) })
			}
		}
	}
	return found, ok && wanted < 0 && !slices.Contains(found[:n], "")
}

// usualNames returns the n members that usualAnswer looks for. n is 0 if it can't read such answers.
func usualNames(want *config.Answer) (names [maxUsual]string, n int) {
	for _, m := range want.Members {
		if _, text := m.Value.(string); !text || n == maxUsual-1 || strings.Contains(m.Path, ".") {
			return names, 0
		}
		names[n] = m.Path
		n++
	}
	if strings.Contains(want.ID, ".") {
		return names, 0
	}
	if want.ID != "" {
		names[n] = want.ID
		n++
	}
	return names, n
}

// quoted returns the bytes up to the closing quote. plain reports that they are printable ASCII without escapes.
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
	var wrapped struct {
		Response json.RawMessage `json:"response"`
	}
	_ = json.Unmarshal(body, &wrapped) // if that fails, there are none
	return detailIn(wrapped.Response)
}

// detailIn finds the API's own words in an object.
func detailIn(body []byte) string {
	var e explanation
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	for _, raw := range []json.RawMessage{e.ErrorMessage, e.Validation, e.Detail, e.Message, e.Error} {
		if s := words(raw); s != "" {
			return s
		}
	}
	return ""
}

// words renders a JSON value for humans: a string as itself, an object by its description if it has one, anything else
// as compact JSON.
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
		Message     string `json:"message"`
	}
	if json.Unmarshal(raw, &o) == nil && o.Description+o.Message != "" {
		return cmp.Or(o.Description, o.Message)
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return ""
	}
	return b.String()
}

func isObject(v any) bool { _, ok := v.(map[string]any); return ok }

func joinDetail(what, words string) string {
	if words == "" {
		return what
	}
	return what + ": " + words
}
