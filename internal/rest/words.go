package rest

import (
	"bytes"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Redacted replaces a secret.
const Redacted = "[redacted]"

const (
	maxWords   = 2000 // characters of the API's own words
	maxExcerpt = 120  // characters of an answer that is not JSON
)

// words finds the API's words in the body of a refusal, and returns them in one line of at most 2000 characters,
// without secrets. Known forms: {"detail": "…"}, {"detail": {"description": "…", "category": …}}, {"detail": [{"loc":
// […], "msg": "…"}]}, {"error": "…", "message": "…"}, {"message": ["…"], "error": "…"}. JSON in another form is
// returned whole. If the body is not JSON, the result is "".
func (c *Client) words(body []byte) string {
	if len(bytes.TrimSpace(body)) == 0 {
		return ""
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return ""
	}
	// Remove secrets first, because shortening the text could leave half of one.
	return line(c.hide.in(say(HideIn(v, c.hide.in), 0)), maxWords)
}

// maxSayDepth bounds the nesting depth of the words.
const maxSayDepth = 8

// say renders a value for a person.
func say(v any, depth int) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var parts []string
		for _, e := range v {
			if s := say(e, depth+1); s != "" {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, "; ")
	case map[string]any:
		if depth < maxSayDepth {
			if s := sayObject(v, depth); s != "" {
				return s
			}
		}
	}
	return compact(v)
}

// sayObject finds the member that holds the words, and adds category and request_id.
func sayObject(o map[string]any, depth int) string {
	if loc, ok := o["loc"].([]any); ok && o["msg"] != nil { // an entry of FastAPI's list of errors
		where := make([]string, len(loc))
		for i, e := range loc {
			where[i] = strings.Trim(compact(e), `"`)
		}
		return strings.Join(where, ".") + ": " + say(o["msg"], depth+1)
	}
	main := ""
	for _, key := range []string{
		"detail", "description", "message", "error_message", "error", "errors", "msg", "answer",
		"response",
	} {
		s := say(o[key], depth+1)
		switch {
		case s == "":
			continue
		case main == "":
			main = s
		case key == "error" && !strings.Contains(main, s):
			main = s + ": " + main
		}
	}
	if main == "" {
		return ""
	}
	var also []string
	for _, key := range []string{"category", "request_id"} {
		if s := say(o[key], depth+1); s != "" {
			also = append(also, key+" "+s)
		}
	}
	if len(also) > 0 {
		main += " (" + strings.Join(also, ", ") + ")"
	}
	return main
}

// compact returns a value as JSON. It returns "" if the value can't be encoded.
func compact(v any) string {
	text, _ := marshal(v)
	return string(text)
}

// excerpt returns the start of a text, in one line.
func excerpt(s string) string { return line(s, maxExcerpt) }

// line returns s in one printable line of at most n characters.
func line(s string, n int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar || r == ' ' {
			space = b.Len() > 0
			continue
		}
		if n--; n < 0 {
			return b.String() + " …"
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// MaxClean is how many characters of a text Clean keeps.
const MaxClean = 200

// Clean restricts a text from an API to characters that are safe in a log line.
func Clean(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == MaxClean {
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

// Forms returns the forms in which an answer may repeat secrets: unchanged, and escaped for JSON, HTML and URLs.
func Forms(secrets []string) (forms []string) {
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted := compact(s)
		quoted = quoted[1 : len(quoted)-1]
		inHTML := strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(quoted)
		forms = append(forms, s, quoted, inHTML, html.EscapeString(s), url.QueryEscape(s), url.PathEscape(s))
	}
	return forms
}

// redactor removes secrets from text, in all forms in which an API may repeat them.
type redactor struct{ replace *strings.Replacer }

func newRedactor(secrets []string) redactor {
	forms := Forms(secrets)
	// Longer ones first, because one secret may be part of another.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, Redacted)
	}
	return redactor{strings.NewReplacer(pairs...)}
}

func (r redactor) in(s string) string {
	if r.replace == nil {
		return s
	}
	return r.replace.Replace(s)
}

// HideIn applies hide to all texts in a decoded JSON value, including names of members. If it changes a number, the
// number becomes a text.
func HideIn(v any, hide func(string) string) any {
	switch v := v.(type) {
	case string:
		return hide(v)
	case json.Number:
		if text := hide(v.String()); text != v.String() {
			return text
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = HideIn(e, hide)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[hide(k)] = HideIn(e, hide)
		}
		return out
	}
	return v
}

// Hide removes the client's secrets from a text.
func (c *Client) Hide(s string) string { return c.hide.in(s) }
