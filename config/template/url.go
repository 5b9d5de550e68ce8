package template

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"text/template/parse"
)

// URL is the URL of a request. Its path and query may depend on the call; its scheme and host never do.
type URL struct {
	template *Template
	origin   string   // scheme, host and port
	host     string   // host and port
	constant *url.URL // the URL for every call; nil if it depends on the call
}

var (
	// errURLPath means that a value would change the structure of a URL's path: the value is empty, or a segment . or ..
	// (RFC 3986 section 3.3).
	errURLPath = errors.New("a value leaves its place in the URL's path empty, or by . or .. leads elsewhere")
	// errQueryInBranch means that it can't be decided whether a value is in the path or in the query.
	errQueryInBranch = errors.New(
		"the ? before the query stands within a condition: write it outside of {{if}} and {{with}}")
)

// OriginOf returns the scheme, host and port at the start of a URL, whether or not the URL is valid.
func OriginOf(text string) string {
	scheme, after, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	if end := strings.IndexAny(after, "/?#"); end >= 0 {
		after = after[:end]
	}
	return scheme + "://" + after
}

// ParseURL parses a URL whose path and query may hold templates.
func ParseURL(text string) (*URL, error) {
	t, err := Parse(text)
	if err != nil {
		return nil, err
	}
	return NewURL(t)
}

// NewURL returns a URL that uses the template. From then on, no other code may use the template.
func NewURL(t *Template) (*URL, error) {
	origin := OriginOf(t.text)
	at, err := url.Parse(origin)
	if err != nil || at.Host == "" {
		return nil, errors.New("it has no host")
	}
	u := &URL{template: t, origin: origin, host: at.Host}
	if t.constant {
		u.constant, err = u.parse(t.text)
		return u, err
	}
	e := urlEscapes{}
	if err := e.list(t.parsed.Root, false); err != nil {
		return nil, err
	}
	t.parsed.Funcs(template.FuncMap{"inURLPath": inURLPath, "inURLQuery": url.QueryEscape})
	t.plain = nil // only the path through text/template escapes
	return u, nil
}

// EscapeParams escapes the values in the parameters of a SIP URI, so that a value can't add a parameter. It must be
// called before the first Render. Other places need no escaping: a user part may have parameters, and a value in the
// host names the host.
func (t *Template) EscapeParams() {
	if t.parsed.Tree == nil {
		return
	}
	e := urlEscapes{sip: true}
	_ = e.list(t.parsed.Root, false) // only the query of a URL can be ambiguous
	if e.escaped {
		t.parsed.Funcs(template.FuncMap{"inSIPParam": inSIPParam})
		t.plain = nil // only the path through text/template escapes
	}
}

// paramChars are the characters allowed in a parameter of a SIP URI (RFC 3261 section 25.1: unreserved and
// param-unreserved).
const paramChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()[]/:&+$"

// inSIPParam escapes a value for a parameter of a SIP URI. Existing escapes stay, and so do line ends, which Render
// refuses.
func inSIPParam(value any) string {
	text := fmt.Sprint(value)
	if strings.ContainsFunc(text, IsControl) {
		return text
	}
	return Escape(text, paramChars)
}

// Escape percent-encodes the bytes of a text that are not allowed. It keeps existing escapes (RFC 3261 section 19.1.2).
func Escape(text, allowed string) string {
	var b strings.Builder
	for i := range len(text) {
		if strings.IndexByte(allowed, text[i]) >= 0 || IsEscape(text[i:]) {
			b.WriteByte(text[i])
			continue
		}
		fmt.Fprintf(&b, "%%%02X", text[i])
	}
	return b.String()
}

// IsEscape reports whether s starts with % and two hexadecimal digits.
func IsEscape(s string) bool { return len(s) >= 3 && s[0] == '%' && isHex(s[1]) && isHex(s[2]) }

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// urlEscapes makes a template escape its values according to their place in a URL.
type urlEscapes struct {
	query   bool // from here on, values are in the query or, in a SIP URI, in a parameter
	sip     bool
	escaped bool // at least one value is escaped
}

func (e *urlEscapes) list(l *parse.ListNode, within bool) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		var err error
		switch n := n.(type) {
		case *parse.TextNode:
			if last := bytes.LastIndexAny(n.Text, ";@"); e.sip && last >= 0 {
				e.query = n.Text[last] == ';'
			} else if !e.sip && strings.Contains(string(n.Text), "?") {
				if within && !e.query {
					return errQueryInBranch
				}
				e.query = true
			}
		case *parse.ActionNode:
			e.action(n)
		case *parse.IfNode:
			err = e.branches(&n.BranchNode)
		case *parse.WithNode:
			err = e.branches(&n.BranchNode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *urlEscapes) branches(b *parse.BranchNode) error {
	before := e.query
	err := e.list(b.List, true)
	then := e.query
	e.query = before
	err = errors.Join(err, e.list(b.ElseList, true))
	e.query = e.query || then
	return err
}

// action makes an action escape its value. An action that declares a variable has no value.
func (e *urlEscapes) action(n *parse.ActionNode) {
	if len(n.Pipe.Decl) > 0 || e.sip && !e.query {
		return
	}
	name := "inURLPath"
	switch e.escaped = true; {
	case e.sip:
		name = "inSIPParam"
	case e.query:
		name = "inURLQuery"
	}
	n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
		NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{parse.NewIdentifier(name).SetTree(nil).SetPos(n.Pos)},
	})
}

// inURLPath escapes a value for a path.
func inURLPath(value any) (string, error) {
	text := fmt.Sprint(value)
	if text == "" || text == "." || text == ".." {
		return "", errURLPath
	}
	return url.PathEscape(text), nil
}

// Render returns the URL for one call.
func (u *URL) Render(v Vars) (*url.URL, error) {
	if u.constant != nil {
		return u.constant, nil
	}
	text, err := u.template.Render(v)
	if err != nil {
		return nil, err
	}
	return u.parse(text)
}

// parse parses the text of a URL, which must have the same origin.
func (u *URL) parse(text string) (*url.URL, error) {
	at, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case at.Host != u.host || at.User != nil || at.Opaque != "":
		return nil, errors.New("it does not lead to " + u.host)
	case at.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, errors.New("it holds a #, which is never sent")
	}
	for segment := range strings.SplitSeq(at.EscapedPath(), "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." {
			return nil, errURLPath
		}
	}
	return at, nil
}

// FromEnvironment returns the URL's values from the environment.
func (u *URL) FromEnvironment() []string { return u.template.FromEnvironment() }

// Origin returns the URL's scheme, host and port.
func (u *URL) Origin() string { return u.origin }

// String returns the URL's source.
func (u *URL) String() string { return u.template.String() }
