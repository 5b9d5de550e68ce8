package config

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Pass is one entry of `pass_headers`: a header that is passed from one side to the other. An entry may also be
// just the header's name.
type Pass struct {
	// The header that the other side sends.
	From string `key:"from" is:"header-pattern" required:"the header that the other side sends, like X-Agent"`
	// The name that it is sent with. Empty: the name in from. User-to-User (RFC 7433) is sent with another name as its
	// text; another header as User-to-User in hex with the protocol discriminator 00 (RFC 7434), unless it ends in
	// ;encoding=….
	To string `key:"to" is:"passed-name"`
}

const userToUser = "User-to-User"

// Decodes reports whether the entry converts User-to-User to text.
func (p *Pass) Decodes() bool {
	return strings.EqualFold(p.From, userToUser) && !strings.EqualFold(p.To, userToUser)
}

// Encodes reports whether the entry converts text to User-to-User.
func (p *Pass) Encodes() bool {
	return strings.EqualFold(p.To, userToUser) && !strings.EqualFold(p.From, userToUser)
}

// PassNamed returns entries that pass the named headers unchanged.
func PassNamed(names ...string) []Pass {
	all := make([]Pass, len(names))
	for i, name := range names {
		all[i] = Pass{From: name, To: name}
	}
	return all
}

func (p *Pass) check(s section) {
	switch {
	case p.To == "":
		p.To = p.From
	case strings.HasSuffix(p.From, "*"):
		s.fields["to"].fail("stands beside a from that ends in *: several headers would have one name",
			"write the whole name in from, or remove to")
	case strings.EqualFold(p.To, "X-EI") && !strings.EqualFold(p.From, "X-EI"):
		s.fields["to"].fail("is the platform's id of the call, which no peer may choose",
			"set it in headers, or carry the value in another one")
	}
}

// passes reads a list of headers to pass: names, or mappings.
func (s section) passes(k key) (all []Pass) {
	for _, v := range s.list(k.name) {
		p, ok := v.pass()
		switch {
		case !ok:
		case slices.ContainsFunc(all, func(other Pass) bool { return strings.EqualFold(other.To, p.To) }):
			v.fail("is in the list twice: "+p.To, "keep one of them, or give one another name in to")
		default:
			all = append(all, p)
		}
	}
	return all
}

func (v value) pass() (p Pass, ok bool) {
	if v, ok = v.resolve(); !ok {
		return p, false
	}
	if v.node.Kind == yaml.MappingNode {
		before := len(v.l.errs)
		v.section(reflect.TypeFor[Pass]()).read(reflect.ValueOf(&p).Elem())
		return p, len(v.l.errs) == before
	}
	text, ok := v.scalar()
	if !ok {
		return p, false
	}
	name, c := parseHeaderPattern(text.text)
	if !c.none() {
		text.complain(c)
	}
	return PassNamed(name)[0], c.none()
}

// parsePassedName parses the name that a header is sent with.
func parsePassedName(t string) (string, complaint) {
	if strings.HasSuffix(t, "*") {
		return "", refuse("is not the name of one header", "write the whole name")
	}
	return parseHeaderPattern(t)
}
