package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// apiRefusal is an error answer of the account API.
type apiRefusal struct {
	code  int
	words string
}

func badRequest(format string, args ...any) *apiRefusal {
	return &apiRefusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func noSuch(format string, args ...any) *apiRefusal {
	return &apiRefusal{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

// accountBody is the JSON object of a request, field by field.
type accountBody map[string]json.RawMessage

// bodyShape says which fields a request may have, of which type, and which it
// must have.
type bodyShape struct {
	fields   map[string]valueType
	required []string
}

// valueType says what is wrong with a value, as "must be …", or "".
type valueType func(raw json.RawMessage) string

// read takes a body apart. A body that is no JSON is a bad request (400); one
// that is, but not of this shape, can't be processed (422).
func (s bodyShape) read(raw []byte) (accountBody, *apiRefusal) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	body := accountBody{}
	err := members(dec, func(key string) error {
		if _, twice := body[key]; twice {
			return fmt.Errorf("field %q appears twice", key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		body[key] = value
		return nil
	})
	if err != nil {
		return nil, badRequest("%s", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, badRequest("data after the JSON object")
	}
	if why := s.check(body); why != "" {
		return nil, &apiRefusal{http.StatusUnprocessableEntity, why}
	}
	return body, nil
}

// check names the first field that is wrong.
func (s bodyShape) check(body accountBody) string {
	for _, key := range slices.Sorted(maps.Keys(body)) {
		kind, known := s.fields[key]
		if !known {
			return fmt.Sprintf("unknown field %q", key)
		}
		if why := kind(body[key]); why != "" {
			return fmt.Sprintf("field %q %s", key, why)
		}
	}
	for _, key := range s.required {
		if _, ok := body[key]; !ok {
			return fmt.Sprintf("field %q is missing", key)
		}
	}
	return ""
}

// text is a field as a string; of one that is absent "".
func (b accountBody) text(key string) string {
	var s string
	if json.Unmarshal(b[key], &s) != nil { // absent; its type was checked
		return ""
	}
	return s
}

func (b accountBody) has(key string) bool { _, ok := b[key]; return ok }

func (b accountBody) flag(key string) bool { return string(b[key]) == "true" }

// number is a field as a whole number; of one that is absent the default.
func (b accountBody) number(key string, def int) int {
	n := def
	if json.Unmarshal(b[key], &n) != nil {
		return def
	}
	return n
}

func (b accountBody) texts(key string) []string {
	var all []string
	if json.Unmarshal(b[key], &all) != nil {
		return nil
	}
	return all
}

// The types of values, as the API reference has them.

func isText(raw json.RawMessage) string {
	if len(raw) == 0 || raw[0] != '"' {
		return "must be a string"
	}
	return ""
}

func isFlag(raw json.RawMessage) string {
	if s := string(raw); s != "true" && s != "false" {
		return "must be true or false"
	}
	return ""
}

func isWhole(raw json.RawMessage) string {
	var n int
	if len(raw) == 0 || raw[0] == 'n' || json.Unmarshal(raw, &n) != nil {
		return "must be a whole number"
	}
	return ""
}

func isNumber(raw json.RawMessage) string {
	var n float64
	if len(raw) == 0 || raw[0] == 'n' || json.Unmarshal(raw, &n) != nil {
		return "must be a number"
	}
	return ""
}

func isTexts(raw json.RawMessage) string {
	var all []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &all) != nil {
		return "must be a list of strings"
	}
	for _, one := range all {
		if isText(one) != "" {
			return "must be a list of strings"
		}
	}
	return ""
}

func isList(raw json.RawMessage) string {
	if len(raw) == 0 || raw[0] != '[' {
		return "must be a list"
	}
	return ""
}

// oneOf takes a string of a closed set.
func oneOf(values ...string) valueType {
	return func(raw json.RawMessage) string {
		var s string
		if isText(raw) != "" || json.Unmarshal(raw, &s) != nil || !slices.Contains(values, s) {
			return "must be one of " + strings.Join(values, ", ")
		}
		return ""
	}
}

// objectOf takes an object of a shape.
func objectOf(fields map[string]valueType) valueType {
	return func(raw json.RawMessage) string {
		if len(raw) == 0 || raw[0] != '{' {
			return "must be an object"
		}
		if _, refused := (bodyShape{fields: fields}).read(raw); refused != nil {
			return "is wrong: " + refused.words
		}
		return ""
	}
}
