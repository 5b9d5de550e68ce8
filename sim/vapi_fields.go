package sim

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// check says what is wrong with the value of a member, after the member's
// name: "must be a string"; or nothing.
type check func(v any) string

// fields are the members that an object may have.
type fields map[string]check

func isString(v any) string {
	if _, ok := v.(string); !ok {
		return "must be a string"
	}
	return ""
}

func isBool(v any) string {
	if _, ok := v.(bool); !ok {
		return "must be a boolean value"
	}
	return ""
}

func isArray(v any) string {
	if _, ok := v.([]any); !ok {
		return "must be an array"
	}
	return ""
}

func isObject(v any) string {
	if _, ok := v.(map[string]any); !ok {
		return "must be an object"
	}
	return ""
}

func numberWithin(low, high float64) check {
	return func(v any) string {
		if n, ok := v.(float64); !ok || n < low || n > high {
			return fmt.Sprintf("must be a number from %v to %v", low, high)
		}
		return ""
	}
}

func textWithin(shortest, longest int) check {
	return func(v any) string {
		s, ok := v.(string)
		if n := utf8.RuneCountInString(s); !ok || n < shortest || n > longest {
			return fmt.Sprintf("must be a string of %d to %d characters", shortest, longest)
		}
		return ""
	}
}

func isOneOf(values ...string) check {
	return func(v any) string {
		if s, ok := v.(string); !ok || !slices.Contains(values, s) {
			return "must be one of " + strings.Join(values, ", ")
		}
		return ""
	}
}

// isStringOr takes what the platform describes as a word or an object.
func isStringOr(other check) check {
	return func(v any) string {
		if isString(v) == "" || other(v) == "" {
			return ""
		}
		return "must be a string, or it " + other(v)
	}
}

// isURL wants an address that the platform can post to.
func isURL(v any) string {
	s, ok := v.(string)
	u, err := url.Parse(s)
	if !ok || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "must be an http or https URL"
	}
	return ""
}

// nullable takes null, too, which takes a value away.
func nullable(c check) check {
	return func(v any) string {
		if v == nil {
			return ""
		}
		return c(v)
	}
}

// isStrings is an object of strings.
func isStrings(v any) string {
	object, ok := v.(map[string]any)
	for _, value := range object {
		if isString(value) != "" {
			ok = false
		}
	}
	if !ok {
		return "must be an object of strings"
	}
	return ""
}

// with is an object of these members and no others.
func (f fields) with(required ...string) check {
	return func(v any) string {
		object, ok := v.(map[string]any)
		if !ok {
			return "must be an object"
		}
		if wrong := f.wrong(object, required...); len(wrong) > 0 {
			return "is not valid: " + strings.Join(wrong, ", ")
		}
		return ""
	}
}

// wrong lists what is wrong with an object, in the order of the members'
// names.
func (f fields) wrong(object map[string]any, required ...string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		c, known := f[name]
		if !known {
			out = append(out, "property "+name+" should not exist")
			continue
		}
		if words := c(object[name]); words != "" {
			out = append(out, name+" "+words)
		}
	}
	for _, name := range required {
		if _, there := object[name]; !there {
			out = append(out, name+" is required")
		}
	}
	return out
}
