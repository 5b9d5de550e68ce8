package message

import (
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Contact is one Contact of a REGISTER, or of the answer to one (RFC 3261 section 20.10).
type Contact struct {
	URI      sip.Uri
	Expires  time.Duration // negative if the Contact names no time
	Q        int           // in thousandths; 1000 if the Contact names none
	Instance string        // +sip.instance with its reg-id (RFC 5626 section 4.1); empty if there is none
}

// misread is the expiration that replaces a malformed one (RFC 3261 sections 10.3 and 20.19).
const misread = time.Hour

// ContactsIn returns the Contacts of a message. all reports a Contact of "*", which means all bindings (RFC 3261
// section 10.2.2). wrong says what is malformed, and is empty if nothing is.
func ContactsIn(msg sip.Message) (list []Contact, all bool, wrong string) {
	for _, h := range headersOf(msg) {
		if !EqualFold(h.Name(), "contact") && !EqualFold(h.Name(), "m") {
			continue
		}
		c, ok := h.(*sip.ContactHeader)
		switch {
		case !ok:
			return nil, false, "Contact Is Malformed"
		case c.Address.Wildcard:
			all = true
			continue
		}
		one := Contact{URI: c.Address, Expires: -1, Q: 1000, Instance: ParamOf(c.Params, "+sip.instance")}
		if id := ParamOf(c.Params, "reg-id"); id != "" && one.Instance != "" {
			one.Instance += ";" + id
		}
		if text, there := given(c.Params, "expires"); there {
			one.Expires = ExpiresOf(text)
		}
		if text, there := given(c.Params, "q"); there {
			if one.Q, ok = parseQ(text); !ok {
				return nil, false, "Contact Has a Malformed q"
			}
		}
		list = append(list, one)
	}
	return list, all, ""
}

// ExpiresOf reads delta-seconds. A number above 2^32-1 counts as 2^32-1 (RFC 3261 section 20.19), and other text counts
// as an hour.
func ExpiresOf(text string) time.Duration {
	if d, ok := Seconds(text); ok {
		return d
	}
	return misread
}

// Seconds reads delta-seconds (RFC 3261 section 25.1). A number above 2^32-1 counts as 2^32-1.
func Seconds(text string) (d time.Duration, ok bool) {
	if text = Trim(text); !AllDigits(text) {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		n = 1<<32 - 1
	}
	return time.Duration(n) * time.Second, true
}

// parseQ reads a qvalue (RFC 3261 section 25.1) as thousandths.
func parseQ(text string) (int, bool) {
	whole, part, _ := strings.Cut(text, ".")
	if whole != "0" && whole != "1" || len(part) > 3 || part != "" && !AllDigits(part) {
		return 0, false
	}
	n, _ := strconv.Atoi(whole + (part + "000")[:3])
	return n, n <= 1000
}

// SameURI compares two SIP URIs (RFC 3261 section 19.1.4). An explicit default port differs from an omitted port.
func SameURI(a, b *sip.Uri) bool {
	if !strings.EqualFold(a.Scheme, b.Scheme) || Unescape(a.User) != Unescape(b.User) || a.Password != b.Password ||
		a.Port != b.Port ||
		!strings.EqualFold(TrimBrackets(a.Host), TrimBrackets(b.Host)) {
		return false
	}
	for _, name := range []string{"user", "ttl", "method", "maddr", "transport"} { // compared if either URI has them
		x, inA := given(a.UriParams, name)
		y, inB := given(b.UriParams, name)
		if inA != inB || !strings.EqualFold(x, y) {
			return false
		}
	}
	for _, p := range a.UriParams { // others are compared only if both URIs have them
		if y, both := given(b.UriParams, p.K); both && !strings.EqualFold(p.V, y) {
			return false
		}
	}
	return true
}

// given returns the value of a parameter as it was written. The case of the parameter's name does not matter.
func given(params sip.HeaderParams, name string) (value string, there bool) {
	for _, p := range params {
		if strings.EqualFold(strings.TrimSpace(p.K), name) {
			return strings.TrimSpace(p.V), true
		}
	}
	return "", false
}
