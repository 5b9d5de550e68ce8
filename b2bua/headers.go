package b2bua

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// anonymousURI is what a caller who asked for privacy is called (RFC 3323
// section 4.1.1.3).
const anonymousURI = `"Anonymous" <sip:anonymous@anonymous.invalid>`

// errNotSIPURI means that a target's uri template did not give a SIP URI: what
// comes from a caller must not decide where the call goes.
var errNotSIPURI = errors.New("the uri template did not give a well-formed sip: URI")

// soundURI says whether a rendered URI is one whose parts are where they seem
// to be: one @ at the most, no password, nothing that is no URI character. The
// parser is lenient, and takes the host from before a second @.
func soundURI(text string, uri *sip.Uri) bool {
	if uri.Scheme != "sip" || uri.Password != "" || !isHost(uri.Host) || !isUser(uri.User) || strings.Count(text, "@") > 1 {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"\\^`{|}", r)
	})
}

// outbound is the INVITE to a target as far as the call decides it; the leg
// adds the rest.
type outbound struct {
	request     *sip.Request
	localParty  string // From
	remoteParty string // To
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
// P-Asserted-Identity, one hop less in Max-Forwards, and the configured
// headers byte for byte, in file order. A header that is configured stands for
// ours of the same name.
func buildOutbound(t *config.Target, uri sip.Uri, vars config.Vars, inbound *sip.Request, local Local, offer []byte) (outbound, error) {
	configured, err := renderHeaders(t, vars)
	if err != nil {
		return outbound{}, err
	}
	req := sip.NewRequest(sip.INVITE, uri)
	hops := sip.MaxForwardsHeader(69)
	if mf := inbound.MaxForwards(); mf != nil && *mf > 0 {
		hops = *mf - 1
	}
	req.AppendHeader(&hops)
	for _, h := range configured {
		req.AppendHeader(h)
	}
	out := outbound{request: req, remoteParty: "<" + uri.String() + ">"}
	caller := local.uri(userOf(vars.From))
	if anonymous(inbound) {
		out.localParty = anonymousURI
		addHeader(req, "Privacy", "id")
	} else {
		out.localParty = "<" + caller + ">"
		if vars.From.Name != "" {
			out.localParty = quoted(vars.From.Name) + " " + out.localParty
		}
		addHeader(req, "P-Asserted-Identity", "<"+caller+">")
	}
	addHeader(req, "Allow", allowed)
	addHeader(req, "User-Agent", agentName)
	req.SetBody(offer)
	req.AppendHeader(contentSDP())
	return out, nil
}

// renderHeaders gives the configured headers that have a value for this call.
func renderHeaders(t *config.Target, vars config.Vars) (headers []sip.Header, err error) {
	for _, h := range t.Headers {
		value, err := h.Value.Render(vars)
		if err != nil && vars.Prepare == nil && h.Value.UsesPrepare() {
			continue // dialled without an id: what can't do without is left out
		}
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		if value != "" {
			headers = append(headers, sip.NewHeader(h.Name, value))
		}
	}
	return headers, nil
}

// addHeader adds a header unless there is one of its name.
func addHeader(req *sip.Request, name, value string) {
	if req.GetHeader(name) == nil {
		req.AppendHeader(sip.NewHeader(name, value))
	}
}

// userOf is a party's number as the user part of a SIP URI.
func userOf(p config.Party) string {
	user := p.Number
	if user == "" {
		user = "anonymous"
	}
	return escapeUser(user)
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
	for i := range len(s) {
		if c := s[i]; c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != "" && len(s) <= 253
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
