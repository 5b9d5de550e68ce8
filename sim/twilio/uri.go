package twilio

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"flowbridge/sim"
)

// These are the limits of a <Sip> URI (twilio.com/docs/voice/twiml/sip).
const (
	maxTwilioURI     = 255  // "under 255 characters", without the headers
	maxTwilioHeaders = 1024 // "must be fewer than 1024 chars"
)

var (
	// The groups are the scheme, the host, the port and the parameters.
	sipAddress = regexp.MustCompile(
		`^(sips?):[A-Za-z0-9\-_.!~*'()&=+$,;?/%]+@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+)(:[0-9]{1,5})?((?:;[A-Za-z0-9\-_.!~*'()%+$:]+(?:=[A-Za-z0-9\-_.!~*'()%+$:]+)?)*)$`)
	transport  = regexp.MustCompile(`;transport=([^;]*)`)
	headerName = regexp.MustCompile(`^[A-Za-z0-9\-_.]+$`)
	// hvalue of RFC 3261 §25.1, with ';' added.
	headerValue = regexp.MustCompile(`^([A-Za-z0-9\-_.!~*'()\[\]/?:+$;]|%[0-9A-Fa-f]{2})*$`)
)

// dialledURI is the parsed content of <Sip>.
type dialledURI struct {
	address  string       // the URI without headers and without parameters for Twilio
	headers  []sim.Header // decoded, in order
	warnings []string
}

// parseDialledURI parses the content of <Sip>. If Twilio would drop a part with a warning, it returns an error. A ';'
// in a header's value is allowed, because Synthflow's documents have it.
func parseDialledURI(s string) (dialledURI, *Error) {
	var u dialledURI
	before, query, has := strings.Cut(s, "?")
	switch {
	case len(before) >= maxTwilioURI:
		return u, failure(codeURI, "a SIP URI of %d characters; want under 255", len(before))
	case !sipAddress.MatchString(before):
		return u, failure(codeURI, "%q is not a SIP URI", before)
	case len(query) >= maxTwilioHeaders:
		return u, failure(codeHeadersLong, "headers of %d characters; want fewer than 1024", len(query))
	case has && query == "":
		return u, failure(codeURI, "a '?' without headers")
	}
	u.address = forTheFarEnd(before)
	if !has {
		return u, nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, given := strings.Cut(pair, "=")
		plain, err := url.PathUnescape(value)
		switch {
		case !given || !isTaken(name):
			return u, failure(codeHeaderName, "header %q: want x-…, not x-twilio…, or a name that Twilio lists, and a '='", name)
		case !headerValue.MatchString(value) || err != nil || !utf8.ValidString(plain) ||
			strings.ContainsFunc(plain, unicode.IsControl):
			return u, failure(codeHeaderValue,
				"the value of %s has characters that are not escaped, or that a header must not have: %q", name, value)
		case strings.Contains(value, ";"):
			u.warnings = append(u.warnings, failure(codeUnescaped, "the ';' of %s should be %%3B", name).Error())
		}
		u.headers = append(u.headers, sim.Header{Name: name, Value: plain})
	}
	return u, nil
}

// isTaken reports whether Twilio sends headers with this name (its warning 13252).
func isTaken(name string) bool {
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, "x-") && len(lower) > len("x-") {
		return headerName.MatchString(name) && !strings.HasPrefix(lower, "x-twilio")
	}
	return slices.Contains([]string{"User-to-User", "Remote-Party-ID", "P-Preferred-Identity", "P-Called-Party-ID"}, name)
}

// forTheFarEnd removes edge and region, which select the location from which Twilio calls.
func forTheFarEnd(uri string) string {
	user, rest, _ := strings.Cut(uri, "@")
	parts := strings.Split(rest, ";")
	kept := slices.DeleteFunc(parts[1:], func(p string) bool {
		return strings.HasPrefix(p, "edge=") || strings.HasPrefix(p, "region=")
	})
	return user + "@" + strings.Join(append(parts[:1], kept...), ";")
}
