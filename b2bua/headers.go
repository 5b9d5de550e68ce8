package b2bua

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// anonymousURI is what a caller is called who asked for privacy, or is not
// known (RFC 3323 section 4.1.1.3).
const anonymousURI = "sip:anonymous@anonymous.invalid"

// errNotSIPURI means that a target's uri template did not give a SIP URI: what
// comes from a caller must not decide where the call goes.
var errNotSIPURI = errors.New("the uri template did not give a well-formed sip: URI")

// soundURI says whether a rendered URI is one whose parts are where they seem
// to be: one @ at the most, with a user before it, no password, nothing that is
// no URI character. The parser is lenient, and takes the host from before a
// second @.
func soundURI(text string, uri *sip.Uri) bool {
	ats := strings.Count(text, "@")
	if uri.Scheme != "sip" || uri.HierarhicalSlashes || uri.Password != "" || !isHost(uri.Host) || !isUser(uri.User) ||
		ats > 1 || (ats == 1 && uri.User == "") {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"\\^`{|}", r)
	})
}

// inbound is what of the carrier's INVITE matters to a target's.
type inbound struct {
	invite  *sip.Request
	source  *sip.Request // whose headers pass on: that, or a REFER
	trusted bool         // the trunk's word for who calls is good
	privacy privacy
	besides []field // that the target's INVITE has
}

// draft is the INVITE to a target as far as the call decides it; the leg
// adds the rest.
type draft struct {
	uri         sip.Uri
	hops        sip.MaxForwardsHeader
	configured  []field // in file order
	passed      []field
	own         []field // what can be left out last
	offer       []byte
	parts       []bodyPart // of the caller's body, beside it
	localParty  string     // From
	remoteParty string     // To
	dropped     []string   // names of what was left out
}

// field is a header with all its values.
type field struct {
	name   string
	values []string
	kept   bool // whatever the size
}

// renderURI makes the Request-URI of an attempt.
func renderURI(t *config.Target, vars config.Vars) (sip.Uri, error) {
	var uri sip.Uri
	text, err := t.URI.Render(vars)
	if err != nil {
		return uri, fmt.Errorf("uri: %w", err)
	}
	if err := sip.ParseUri(text, &uri); err != nil || !soundURI(text, &uri) {
		return uri, fmt.Errorf("%w: %q", errNotSIPURI, text)
	}
	return uri, nil
}

// buildOutbound makes the INVITE to a target: the caller in From and
// P-Asserted-Identity, one hop less in Max-Forwards, the configured headers
// byte for byte, in file order, and those that are passed on. A header that is
// configured stands for a passed one of the same name, and either for ours.
func buildOutbound(t *config.Target, uri sip.Uri, vars config.Vars, in inbound, local Local, peer peerOptions, offer []byte) (draft, error) {
	configured, err := renderHeaders(t, vars)
	if err != nil {
		return draft{}, err
	}
	out := draft{uri: uri, hops: 69, configured: configured, remoteParty: "<" + uri.String() + ">", offer: offer}
	if mf := in.invite.MaxForwards(); mf != nil && *mf > 0 && *mf <= maxHops {
		out.hops = *mf - 1
	}
	for _, f := range in.besides {
		if !has(configured, f.name) {
			out.configured = append(out.configured, f)
		}
	}
	out.pass(wanted(t.PassHeaders, in.source.Headers(), t.Headers), in)
	from := callingParty(vars)
	caller := "<" + local.uri(userOf(from)) + ">"
	known := !in.privacy.number && !nobody(from)
	out.localParty = caller
	if !known {
		out.localParty = "<" + anonymousURI + ">"
	}
	switch {
	case !known && (from.Name == "" || in.privacy.name):
		out.localParty = `"Anonymous" ` + out.localParty
	case from.Name != "" && !in.privacy.name:
		out.localParty = quoted(from.Name) + " " + out.localParty
	}
	if in.privacy.number {
		out.add(field{name: "Privacy", values: []string{"id"}, kept: true})
	}
	if known && in.trusted { // nobody vouches for another's (RFC 3325 section 5)
		out.add(field{name: "P-Asserted-Identity", values: []string{caller}})
	}
	out.add(field{name: "Allow", values: []string{peer.allow}})
	out.add(field{name: "Supported", values: []string{supported(peer).Value()}, kept: true})
	if peer.rel100 == config.Rel100Required {
		out.add(field{name: "Require", values: []string{"100rel"}, kept: true})
	}
	if peer.expiry > 0 {
		out.add(field{name: "Session-Expires", values: []string{sessionExpires{interval: peer.expiry}.String()}, kept: true})
	}
	out.add(field{name: "User-Agent", values: []string{agentName}})
	return out, nil
}

// maxHops is the largest Max-Forwards (RFC 3261 section 20.22).
const maxHops = 255

// add adds a header of ours unless there is one of its name.
func (o *draft) add(f field) {
	if !has(o.configured, f.name) && !has(o.passed, f.name) {
		o.own = append(o.own, f)
	}
}

func has(fields []field, name string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return strings.EqualFold(f.name, name) })
}

// request is the INVITE as the leg gets it.
func (o *draft) request() *sip.Request {
	req := sip.NewRequest(sip.INVITE, o.uri)
	hops := o.hops
	req.AppendHeader(&hops)
	for _, fields := range [][]field{o.configured, o.passed, o.own} {
		for _, f := range fields {
			for _, v := range f.values {
				req.AppendHeader(sip.NewHeader(f.name, v))
			}
		}
	}
	kind, body := joinBody(o.offer, o.parts)
	req.SetBody(body)
	req.AppendHeader(sip.NewHeader("Content-Type", kind))
	return req
}

// renderHeaders gives the configured headers that have a value for this call.
func renderHeaders(t *config.Target, vars config.Vars) (fields []field, err error) {
	for _, h := range t.Headers {
		value, err := h.Value.Render(vars)
		if err != nil && vars.Prepare == nil && h.Value.UsesPrepare() {
			continue // dialled without an id: what can't do without is left out
		}
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		if err := checkXEI(h, value); err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		if value != "" {
			fields = append(fields, field{name: h.Name, values: []string{value}, kept: indispensable(h.Name)})
		}
	}
	return fields, nil
}

// indispensable says that an INVITE without this header is another call: the
// platform would not know it, or the caller would be named.
func indispensable(name string) bool {
	return strings.EqualFold(name, "X-EI") || strings.EqualFold(name, "Privacy")
}

// userOf is a party's number as the user part of a SIP URI. What has escapes
// upon escapes is none that anybody could use.
func userOf(p config.Party) string {
	if user := escapeUser(p.Number); user != "" && len(user) <= maxURI/2 {
		return user
	}
	return "anonymous"
}

// userChars are what a user part may hold besides %-escapes and the ; of
// parameters (RFC 3261 section 25.1: unreserved and user-unreserved).
const userChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,?/"

// escapeUser percent-encodes what may not stand in a user part.
func escapeUser(user string) string {
	var b strings.Builder
	for i := range len(user) {
		if strings.IndexByte(userChars, user[i]) >= 0 || isEscape(user[i:]) {
			b.WriteByte(user[i])
			continue
		}
		fmt.Fprintf(&b, "%%%02X", user[i])
	}
	return b.String()
}

// isUser says whether s can stand before the @ of a SIP URI as it is.
func isUser(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(userChars, s[i]) < 0 && s[i] != ';' && !isEscape(s[i:]) {
			return false
		}
	}
	return true
}

// isEscape says whether s begins with % and two hexadecimal digits.
func isEscape(s string) bool {
	return len(s) >= 3 && s[0] == '%' && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// isHost says whether s is an IP address or can be a host name.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(trimBrackets(s)); err == nil {
		return true
	}
	return s != "" && len(s) <= 253 && !hasOther(s, &domainBytes)
}

// headerOf gives templates the first value of a header of the carrier's
// INVITE.
func headerOf(invite *sip.Request) func(string) string {
	return func(name string) string {
		if h := invite.GetHeader(name); h != nil {
			return h.Value()
		}
		return ""
	}
}
