package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Object is a JSON object. Its values are strings, json.Number, bool, nil, []any and, for objects, map[string]any.
type Object map[string]any

// maxDepth bounds how deeply an object may be nested.
const maxDepth = 64

// Marshal encodes the object with its members in alphabetical order, and without escaping HTML's characters.
func (o Object) Marshal() ([]byte, error) { return marshal(map[string]any(o)) }

// marshal encodes any value in this way.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// ParseObject parses exactly one JSON object. A duplicate member is an error, because one of the two would be lost, and
// so is anything after the object.
func ParseObject(data []byte) (Object, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := parseValue(dec, "", 0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object: it has to begin with { and end with }")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows the JSON object, at byte %d", dec.InputOffset())
	}
	return o, nil
}

func parseValue(dec *json.Decoder, path string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("is nested more than %d deep", maxDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return nil, syntax(dec, err)
	}
	switch token {
	case json.Delim('{'):
		return parseMembers(dec, path, depth)
	case json.Delim('['):
		all := []any{}
		for dec.More() {
			v, err := parseValue(dec, path+"[]", depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		_, err := dec.Token()
		return all, syntax(dec, err)
	}
	return token, nil
}

func parseMembers(dec *json.Decoder, path string, depth int) (any, error) {
	o := map[string]any{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, syntax(dec, err)
		}
		name, _ := token.(string)
		at := strings.TrimPrefix(path+"."+name, ".")
		if _, twice := o[name]; twice {
			return nil, fmt.Errorf("%.200q is there twice: keep one of them", at)
		}
		if o[name], err = parseValue(dec, at, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return o, syntax(dec, err)
}

// syntax says where the text stops being JSON.
func syntax(dec *json.Decoder, err error) error {
	var bad *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("is not whole JSON: it ends too early")
	case errors.As(err, &bad):
		return fmt.Errorf("is not JSON: %s, at byte %d", bad.Error(), bad.Offset)
	}
	return fmt.Errorf("is not JSON: %w, at byte %d", err, dec.InputOffset())
}

// Text returns a member that is a string. ok is false if it is absent, null or something else.
func (o Object) Text(key string) (s string, ok bool) {
	s, ok = o[key].(string)
	return s, ok
}

// Object returns a member that is an object. ok is false if it is absent, null or something else.
func (o Object) Object(key string) (Object, bool) {
	v, ok := o[key].(map[string]any)
	return v, ok
}
