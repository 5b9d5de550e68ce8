package template

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
)

// maxRendered is the maximum length of a template's result, in bytes. A longer one would not fit into a SIP message
// over UDP.
const maxRendered = 4096

// redacted replaces values from the environment in a template's result.
const redacted = "[redacted]"

var (
	// ErrControlByte means that a template's result has CR, LF, NUL or another character that ends or splits a header for
	// some reader, or is not allowed in one (RFC 3261 section 25.1).
	ErrControlByte = errors.New("result holds a control character")
	// ErrTooLong means that a template's result is longer than 4096 bytes.
	ErrTooLong = errors.New("result is longer than 4096 bytes")
	// errTokenValue means that a value in X-EI would be read as several tokens.
	errTokenValue = errors.New("a value for X-EI holds a ';'")
)

// Template is a text/template over the Vars of a call. It may be rendered by many goroutines at once.
type Template struct {
	text     string
	parsed   *template.Template
	plain    []plainPart // the whole template; nil if text/template evaluates it
	prepare  bool
	columns  []string // of the table of numbers
	dials    []string // see walker.dials
	constant bool     // the result is the same text for every call

	environment []string // the values of ${NAME} in it
}

// Parse parses text and checks that every field it names exists.
func Parse(text string) (*Template, error) {
	parsed, err := template.New("template").Option("missingkey=zero").Funcs(template.FuncMap{"xei": xeiToken}).Parse(text)
	if err != nil {
		return nil, errors.New(plainTemplateError(err))
	}
	t := &Template{text: text, parsed: parsed}
	if len(parsed.Templates()) > 1 {
		return nil, errors.New("define and block cannot be used here")
	}
	if parsed.Tree == nil { // an empty text has no tree
		t.constant = true
		return t, nil
	}
	w := walker{}
	w.list(parsed.Root, true)
	if w.err != nil {
		return nil, w.err
	}
	t.prepare, t.columns, t.dials, t.plain = w.prepare, w.columns, w.dials, plainParts(parsed.Root)
	t.constant = !slices.ContainsFunc(parsed.Root.Nodes, func(n parse.Node) bool { return n.Type() != parse.NodeText })
	return t, nil
}

// xeiToken is the template function xei. It returns a token of X-EI, or "" if value is empty.
func xeiToken(name, value string) (string, error) {
	switch {
	case value == "":
		return "", nil
	case strings.Contains(value, ";"):
		return "", errTokenValue
	}
	return name + "." + value + ";", nil
}

// Render returns the template's result for one call. A nil template gives "". It is an error if the result has a
// character that ends a line, or more than 4096 bytes.
func (t *Template) Render(v Vars) (string, error) {
	if t == nil || t.parsed.Tree == nil {
		return "", nil
	}
	s, ok := "", false
	if t.plain != nil {
		s, ok = renderPlain(t.plain, &v)
	}
	if !ok {
		var err error
		if s, err = t.execute(v); err != nil {
			return "", err
		}
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && IsControl(r) }) {
		return "", ErrControlByte
	}
	return s, nil
}

// execute evaluates the template with text/template.
func (t *Template) execute(v Vars) (string, error) {
	var out limited
	if err := t.parsed.Execute(&out, v); err != nil {
		if errors.Is(err, ErrTooLong) {
			return "", ErrTooLong
		}
		return "", errors.New(plainTemplateError(err))
	}
	return out.String(), nil
}

// IsControl reports whether a character is not allowed in headers, because some readers take it for the end of a line,
// or worse. These are the control characters, including U+0085, and Unicode's line and paragraph separators.
func IsControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// Redact hides the template's values from the environment in a result, because they may be secret.
func (t *Template) Redact(text string) string {
	for _, v := range t.environment {
		text = strings.ReplaceAll(text, v, redacted)
	}
	return text
}

// TakeEnvironment sets the template's values from the environment. It must be called before anything else uses the
// template.
func (t *Template) TakeEnvironment(values []string) {
	// Longest first, because one value may contain another.
	t.environment = slices.SortedFunc(slices.Values(values), func(a, b string) int { return len(b) - len(a) })
}

// FromEnvironment returns the template's values from the environment.
func (t *Template) FromEnvironment() []string {
	if t == nil {
		return nil
	}
	return t.environment
}

// Columns returns the columns of the table of numbers that the template names.
func (t *Template) Columns() []string { return t.columns }

// UsesPrepare reports whether the template names .Prepare anywhere.
func (t *Template) UsesPrepare() bool { return t.prepare }

// Constant returns the template's result if it is the same for every call. Otherwise ok is false.
func (t *Template) Constant() (text string, ok bool) {
	if t == nil {
		return "", true
	}
	return t.text, t.constant
}

// ConstantHost returns the part of a URI after the @, with port and parameters. Without an @, it returns the part
// after the scheme. ok is false if that part depends on the call.
func (t *Template) ConstantHost() (host string, ok bool) {
	if t == nil || t.parsed.Tree == nil {
		return "", false
	}
	nodes := t.parsed.Root.Nodes
	first := len(nodes)
	for first > 0 && nodes[first-1].Type() == parse.NodeText {
		first--
		host = nodes[first].String() + host
	}
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		return host[at+1:], true
	}
	_, host, ok = strings.Cut(host, ":")
	return host, ok && first == 0
}

// Dialled yields the texts before a URI's @ that come from the call's parties. The peer takes them for the number to
// dial.
func (t *Template) Dialled(v *Vars) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, field := range t.dials {
			texts, _ := v.dialled(field)
			for _, text := range texts {
				if text != "" && !yield(text) {
					return
				}
			}
		}
	}
}

// DialsNobody reports whether a URI takes its user part from a call's parties and the user part is empty in this call:
// "sip:@host".
func (t *Template) DialsNobody(v Vars) bool {
	if !slices.ContainsFunc(t.dials, func(field string) bool {
		texts, ok := v.dialled(field)
		return ok && texts[0] == ""
	}) {
		return false
	}
	if v.Prepare == nil { // the answer comes later, and is not empty
		v.Prepare = SampleVars(true).Prepare
	}
	text, err := t.Render(v)
	return err == nil && strings.HasPrefix(text, "sip:@")
}

// String returns the template's source.
func (t *Template) String() string {
	if t == nil {
		return ""
	}
	return t.text
}

// limited collects at most maxRendered bytes.
type limited struct{ strings.Builder }

// Write refuses bytes beyond the limit.
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxRendered {
		return 0, ErrTooLong
	}
	return l.Builder.Write(p)
}

// plainTemplateError returns the message of a text/template error without the prefix "template: template:1:2:
// executing "template" at <.X>: ".
func plainTemplateError(err error) string {
	s := err.Error()
	for _, prefix := range []string{"template: ", "template:"} {
		s = strings.TrimPrefix(s, prefix)
	}
	s = strings.TrimLeft(s, "0123456789:")
	s = strings.TrimSpace(s)
	s = strings.TrimPrefix(s, `executing "template" `)
	return strings.ReplaceAll(s, "\n", " ")
}

// SampleVars returns the values of a made-up call. Templates are tried with them when the file is loaded.
func SampleVars(prepared bool) Vars {
	v := Vars{
		To: Party{
			Number: "+15550100002", User: "5550100002", Name: "Support", Host: "198.51.100.2",
			URI: "sip:5550100002@198.51.100.2",
		},
		From: Party{
			Number: "+15550100001", User: "5550100001", Name: "Alice", Host: "203.0.113.1",
			URI: "sip:5550100001@203.0.113.1",
		},
		CallID: "0190a1b2c3d4", SIPCallID: "a84b4c76e66710@203.0.113.1", Trunk: "trunk", Route: "1", Attempt: 1,
		Direction:  DirectionInbound,
		Diversion:  "+15550100003",
		HeaderFunc: func(name string) string { return fmt.Sprintf("value-of-%.64s", headerSafe(name)) },
	}
	if prepared {
		v.Prepare = &PrepareVars{
			CallID: "5f1c2f9e-6b7a-4c1d-9e8f-0a1b2c3d4e5f",
			Body:   []byte(`{"call_status":"registered","custom_variables":{"name":"Alice"}}`),
		}
	}
	return v
}

func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if IsControl(r) {
			return -1
		}
		return r
	}, s)
}
