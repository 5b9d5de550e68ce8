package b2bua

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// parseURI parses a SIP URI that has been checked before; what is none gives
// the zero Uri, which goes nowhere.
func parseURI(s string) sip.Uri {
	var u sip.Uri
	if err := sip.ParseUri(s, &u); err != nil {
		return sip.Uri{}
	}
	return u
}

// addrSpec is the URI within a name-addr or addr-spec (RFC 3261 section
// 20.10): `"Ann" <sip:a@b;lr>;tag=x` gives sip:a@b;lr. Of what is neither it may
// be empty.
func addrSpec(value string) string {
	a, _ := splitAddress(value)
	return trimmed(a.uri)
}

// values gives the values of all headers of this name in order, those that
// are separated by commas too (RFC 3261 section 7.3.1).
func values(msg sip.Message, name string) (all []string) {
	for _, h := range msg.GetHeaders(name) {
		all = append(all, splitValues(h.Value())...)
	}
	return all
}

// splitValues splits a list of values.
func splitValues(list string) (all []string) {
	for {
		n := firstOf(list)
		all = append(all, strings.TrimSpace(list[:n]))
		if n == len(list) {
			return all
		}
		list = list[n+1:]
	}
}

// withTag adds a tag to a From or To value; an empty tag adds nothing.
func withTag(party, tag string) string {
	if tag == "" {
		return party
	}
	return party + ";tag=" + tag
}

// partyOf gives a From or To as a name-addr without tag, the form that
// Dialog keeps.
func partyOf(displayName string, uri *sip.Uri, params sip.HeaderParams) string {
	var b strings.Builder
	if displayName != "" {
		b.WriteString(quoted(unquoted(displayName)) + " ")
	}
	b.WriteString("<" + uri.String() + ">")
	for _, p := range params {
		if isTag(p.K) {
			continue
		}
		b.WriteString(";" + p.K)
		if p.V != "" {
			b.WriteString("=" + p.V)
		}
	}
	return b.String()
}

// tagOf is the tag parameter, "" where there is none.
func tagOf(params sip.HeaderParams) string {
	for _, p := range params {
		if isTag(p.K) {
			return strings.TrimSpace(p.V)
		}
	}
	return ""
}

// paramOf is a parameter by its name, whose case and white space do not matter,
// without quotes.
func paramOf(params sip.HeaderParams, name string) string {
	for _, p := range params {
		if strings.EqualFold(strings.TrimSpace(p.K), name) {
			return strings.Trim(strings.TrimSpace(p.V), `"`)
		}
	}
	return ""
}

// isTag says whether a parameter is the tag. White space around it is allowed
// (RFC 3261 section 25.1), and the parser leaves it.
func isTag(name string) bool { return strings.EqualFold(strings.TrimSpace(name), "tag") }

// unquoted undoes the escapes of a quoted-string's content; a backslash at
// the end stands for itself.
func unquoted(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// quoted is s as a quoted-string (RFC 3261 section 25.1). Control characters
// are left out: they could end the header.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if isControl(r) {
			continue
		}
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String()
}

func trimBrackets(host string) string {
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// parseParty reads one name-addr or addr-spec that names a telephone or SIP
// user, with the parameters behind it.
func parseParty(value, country string) (p config.Party, params sip.HeaderParams, ok bool) {
	var uri sip.Uri
	name, err := sip.ParseAddressValue(strings.TrimSpace(value), &uri, &params)
	if err != nil {
		return p, nil, false
	}
	switch uri.Scheme {
	case "sip", "sips":
		ok = uri.Host != ""
	case "tel":
		ok = uri.Raw() != ""
	}
	if !ok {
		return p, nil, false
	}
	p = party(name, &uri, country)
	return p, params, p.URI != ""
}

// parseSource parses the address that sipgo gives as a message's source.
func parseSource(s string) netip.AddrPort {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
