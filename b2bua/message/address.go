package message

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config/template"
)

// ParseURI parses a SIP URI that has been checked before. For any other text it returns the zero
// Uri.
func ParseURI(s string) sip.Uri {
	var u sip.Uri
	ReadURI(s, &u)
	return u
}

// ReadURI is ParseURI into an existing Uri.
func ReadURI(s string, u *sip.Uri) {
	if err := sip.ParseUri(s, u); err != nil {
		*u = sip.Uri{}
	}
}

// AddrSpec returns the URI within a name-addr or addr-spec (RFC 3261 section 20.10). For
// `"Ann" <sip:a@b;lr>;tag=x` it returns sip:a@b;lr. It may return "" if the value is
// neither.
func AddrSpec(value string) string {
	a, _ := splitAddress(value)
	return Trim(a.uri)
}

// WithTag adds a tag to a From or To value; an empty tag adds nothing.
func WithTag(party, tag string) string {
	if tag == "" {
		return party
	}
	return party + ";tag=" + tag
}

// NameAddr returns a From or To as a name-addr without its tag, the form that a dialog
// stores.
func NameAddr(displayName string, uri *sip.Uri, params sip.HeaderParams) string {
	b := TakeBuffer()
	defer b.Release()
	if displayName != "" {
		b.Bytes = append(AppendQuoted(b.Bytes, Unquote(displayName)), ' ')
	}
	b.add("<")
	b.uri(uri)
	b.add(">")
	for _, p := range params {
		if isTag(p.K) {
			continue
		}
		b.add(";")
		b.param(p)
	}
	return string(b.Bytes)
}

// TagOf returns the tag parameter, or "" if there is none.
func TagOf(params sip.HeaderParams) string {
	for _, p := range params {
		if isTag(p.K) {
			return p.V
		}
	}
	return ""
}

// ParamOf returns a parameter's value without quotes. It ignores case and white space in
// the name.
func ParamOf(params sip.HeaderParams, name string) string {
	for _, p := range params {
		if strings.EqualFold(strings.TrimSpace(p.K), name) {
			return strings.Trim(strings.TrimSpace(p.V), `"`)
		}
	}
	return ""
}

// isTag reports whether a parameter name is tag, in any case.
func isTag(name string) bool { return EqualFold(name, "tag") }

// Unquote removes the escapes in the content of a quoted-string. A backslash at the end stays.
func Unquote(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Quote returns s as a quoted-string.
func Quote(s string) string { return string(AppendQuoted(make([]byte, 0, 64), s)) }

// AppendQuoted appends s as a quoted-string (RFC 3261 section 25.1). Control characters
// are left out, because they could end the header.
func AppendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		if template.IsControl(r) {
			continue
		}
		if r == '"' || r == '\\' {
			b = append(b, '\\')
		}
		b = utf8.AppendRune(b, r)
	}
	return append(b, '"')
}

// TrimBrackets returns a host without the brackets of an IPv6 address.
func TrimBrackets(host string) string {
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// KeptAddr is an address that is stored as text. The text of the zero address is empty.
type KeptAddr struct{ netip.AddrPort }

// ParseSource parses the address that the SIP library gives as a message's source.
func ParseSource(s string) netip.AddrPort {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// BranchOf returns the branch of the topmost Via.
func BranchOf(msg sip.Message) string {
	via := msg.Via()
	if via == nil {
		return ""
	}
	branch, _ := via.Params.Get("branch")
	return branch
}

// AnswersInvite reports whether a response answers an INVITE and is complete enough to tell which
// one.
func AnswersInvite(res *sip.Response) bool {
	cseq := res.CSeq()
	return cseq != nil && cseq.MethodName == sip.INVITE && res.From() != nil && res.To() != nil && res.CallID() != nil &&
		res.Via() != nil
}
