package standin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"flowbridge/internal/rest"
)

// Object is a JSON object. Its values are strings, json.Number, bool, nil, []any and map[string]any.
type Object map[string]any

// ParseObject parses one JSON object. A member must not appear twice.
func ParseObject(body []byte) (Object, error) {
	o, err := rest.ParseObject(body)
	if err != nil {
		return nil, fmt.Errorf("the body %w", err)
	}
	return Object(o), nil
}

// Has reports whether a member exists.
func (o Object) Has(name string) bool { _, has := o[name]; return has }

// Text returns a member that is a string, or "".
func (o Object) Text(name string) string { s, _ := o[name].(string); return s }

// Object returns a member that is an object, or nil.
func (o Object) Object(name string) Object { m, _ := o[name].(map[string]any); return m }

// Check returns what is wrong with a value, as "must be …", or "".
type Check func(v any) string

// Fields lists the members that an object may have.
type Fields map[string]Check

// With adds members with the same check.
func (f Fields) With(check Check, names ...string) Fields {
	for _, name := range names {
		f[name] = check
	}
	return f
}

// Shape says which members an object may have and which it must have.
type Shape struct {
	Fields   Fields
	Required []string
	Code     int  // status for a refused body; 400 if zero
	Open     bool // allows other members and, if none is required, a request without a body
}

// Read parses a body of this shape.
func (s Shape) Read(raw []byte) (Object, *Refusal) {
	body, err := ParseObject(raw)
	if err != nil {
		return nil, Refuse(http.StatusBadRequest, "%v", err)
	}
	if wrong := s.Wrong(body); len(wrong) > 0 {
		return nil, &Refusal{cmp.Or(s.Code, http.StatusBadRequest), wrong}
	}
	return body, nil
}

// Wrong lists the errors in an object, in the order of its members' names.
func (s Shape) Wrong(object map[string]any) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		check, known := s.Fields[name]
		if !known && s.Open {
			continue
		}
		if !known {
			all = append(all, fmt.Sprintf("unknown field %q", name))
		} else if wrong := check(object[name]); wrong != "" {
			all = append(all, fmt.Sprintf("field %q %s", name, wrong))
		}
	}
	for _, name := range s.Required {
		if _, there := object[name]; !there {
			all = append(all, fmt.Sprintf("field %q is missing", name))
		}
	}
	return all
}

// Check accepts an object of this shape.
func (s Shape) Check(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return "must be an object"
	}
	if wrong := s.Wrong(object); len(wrong) > 0 {
		return "is not valid: " + strings.Join(wrong, ", ")
	}
	return ""
}

// kind accepts values of one type.
func kind[T any](words string) Check {
	return func(v any) string {
		if _, ok := v.(T); !ok {
			return words
		}
		return ""
	}
}

// These are the kinds of JSON values.
var (
	IsString = kind[string]("must be a string")
	IsBool   = kind[bool]("must be true or false")
	IsList   = kind[[]any]("must be a list")
	IsObject = kind[map[string]any]("must be an object")
)

// IsWhole accepts a whole number.
func IsWhole(v any) string {
	n, _ := v.(json.Number)
	if _, err := n.Int64(); err != nil {
		return "must be a whole number"
	}
	return ""
}

// IsStrings accepts a list of strings.
func IsStrings(v any) string {
	list, ok := v.([]any)
	if !ok || slices.ContainsFunc(list, func(one any) bool { return IsString(one) != "" }) {
		return "must be a list of strings"
	}
	return ""
}

// IsStringMap accepts an object of strings.
func IsStringMap(v any) string {
	object, ok := v.(map[string]any)
	for _, value := range object {
		ok = ok && IsString(value) == ""
	}
	if !ok {
		return "must be an object of strings"
	}
	return ""
}

// IsOneOf accepts one of these strings.
func IsOneOf(values ...string) Check {
	return func(v any) string {
		if s, ok := v.(string); !ok || !slices.Contains(values, s) {
			return "must be one of " + strings.Join(values, ", ")
		}
		return ""
	}
}

// NumberWithin accepts a number within a range.
func NumberWithin(low, high float64) Check {
	return func(v any) string {
		n, _ := v.(json.Number)
		if f, err := n.Float64(); err != nil || f < low || f > high {
			return fmt.Sprintf("must be a number from %v to %v", low, high)
		}
		return ""
	}
}

// TextWithin accepts a string whose number of characters is within a range.
func TextWithin(shortest, longest int) Check {
	return func(v any) string {
		s, ok := v.(string)
		if n := utf8.RuneCountInString(s); !ok || n < shortest || n > longest {
			return fmt.Sprintf("must be a string of %d to %d characters", shortest, longest)
		}
		return ""
	}
}

// IsURL accepts an http or https URL.
func IsURL(v any) string {
	s, _ := v.(string)
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return "must be an http or https URL"
	}
	return ""
}
