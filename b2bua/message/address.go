package message

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// ParseURI parses a SIP URI that has been checked before; what is none gives
// the zero Uri, which goes nowhere.
func ParseURI(s string) sip.Uri {
	var u sip.Uri
	if err := sip.ParseUri(s, &u); err != nil {
		return sip.Uri{}
	}
	return u
}

// AddrSpec is the URI within a name-addr or addr-spec (RFC 3261 section
// 20.10): `"Ann" <sip:a@b;lr>;tag=x` gives sip:a@b;lr. Of what is neither it may
// be empty.
func AddrSpec(value string) string {
	a, _ := SplitAddress(value)
	return Trim(a.Uri)
}

// Values gives the values of all headers of this name in order, those that
// are separated by commas too (RFC 3261 section 7.3.1).
func Values(msg sip.Message, name string) (all []string) {
	for _, h := range msg.GetHeaders(name) {
		all = append(all, SplitValues(h.Value())...)
	}
	return all
}

// SplitValues splits a list of values.
func SplitValues(list string) (all []string) {
	for {
		n := firstOf(list)
		all = append(all, strings.TrimSpace(list[:n]))
		if n == len(list) {
			return all
		}
		list = list[n+1:]
	}
}

// WithTag adds a tag to a From or To value; an empty tag adds nothing.
func WithTag(party, tag string) string {
	if tag == "" {
		return party
	}
	return party + ";tag=" + tag
}

// NameAddr gives a From or To as a name-addr without tag, the form that
// Dialog keeps.
func NameAddr(displayName string, uri *sip.Uri, params sip.HeaderParams) string {
	var b strings.Builder
	if displayName != "" {
		b.WriteString(Quote(Unquote(displayName)) + " ")
	}
	b.WriteString("<" + uri.String() + ">")
	for _, p := range params {
		if IsTag(p.K) {
			continue
		}
		b.WriteString(";" + p.K)
		if p.V != "" {
			b.WriteString("=" + p.V)
		}
	}
	return b.String()
}

// TagOf is the tag parameter, "" where there is none.
func TagOf(params sip.HeaderParams) string {
	for _, p := range params {
		if IsTag(p.K) {
			return strings.TrimSpace(p.V)
		}
	}
	return ""
}

// ParamOf is a parameter by its name, whose case and white space do not matter,
// without quotes.
func ParamOf(params sip.HeaderParams, name string) string {
	for _, p := range params {
		if strings.EqualFold(strings.TrimSpace(p.K), name) {
			return strings.Trim(strings.TrimSpace(p.V), `"`)
		}
	}
	return ""
}

// IsTag says whether a parameter is the tag. White space around it is allowed
// (RFC 3261 section 25.1), and the parser leaves it.
func IsTag(name string) bool { return strings.EqualFold(strings.TrimSpace(name), "tag") }

// Unquote undoes the escapes of a quoted-string's content; a backslash at
// the end stands for itself.
func Unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Quote is s as a quoted-string (RFC 3261 section 25.1). Control characters
// are left out: they could end the header.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if IsControl(r) {
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

func TrimBrackets(host string) string {
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// ParseParty reads one name-addr or addr-spec that names a telephone or SIP
// user, with the parameters behind it.
func ParseParty(value, country string) (p config.Party, params sip.HeaderParams, ok bool) {
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
	p = PartyOf(name, &uri, country)
	return p, params, p.URI != ""
}

// ParseSource parses the address that sipgo gives as a message's source.
func ParseSource(s string) netip.AddrPort {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// BranchOf is the branch of the topmost Via.
func BranchOf(msg sip.Message) string {
	via := msg.Via()
	if via == nil {
		return ""
	}
	branch, _ := via.Params.Get("branch")
	return branch
}
