package peers

import (
	"errors"
	"strings"

	"flowbridge/b2bua/message"
)

// credentials holds the parameters of an Authorization header with the scheme Digest (RFC 3261
// section 25.1, RFC 7616 section 3.4).
type credentials struct {
	username, realm, nonce, uri, response string
	algorithm, cnonce, qop, nc            string
}

var errCredentials = errors.New("credentials are not well-formed")

// parseCredentials reads the value of an Authorization header. digest is false if the scheme is
// another one. A repeated parameter is an error, because a proxy could have read the other value.
// Unknown parameters are ignored.
func parseCredentials(value string) (c credentials, digest bool, err error) {
	scheme, rest, _ := strings.Cut(strings.TrimLeft(value, " \t"), " ")
	if !strings.EqualFold(scheme, "Digest") {
		return c, false, nil
	}
	fields := map[string]*string{
		"username": &c.username, "realm": &c.realm, "nonce": &c.nonce, "uri": &c.uri, "response": &c.response,
		"algorithm": &c.algorithm, "cnonce": &c.cnonce, "qop": &c.qop, "nc": &c.nc,
	}
	had := map[string]bool{}
	for {
		rest = strings.TrimLeft(rest, " \t\r\n,")
		if rest == "" {
			return c, true, nil
		}
		name, after, found := strings.Cut(rest, "=")
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if !found || !message.IsToken(name) || had[name] {
			return credentials{}, true, errCredentials
		}
		had[name] = true
		var text string
		var ok bool
		if text, rest, ok = cutValue(strings.TrimLeft(after, " \t\r\n")); !ok {
			return credentials{}, true, errCredentials
		}
		if f := fields[name]; f != nil {
			*f = text
		}
	}
}

// cutValue splits off a token, or a quoted-string without its escapes, up to the next comma. ok is
// false if it is malformed.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ",")
		value = strings.TrimRight(value, " \t\r\n")
		return value, rest, value != "" && !strings.ContainsAny(value, " \t\r\n\"\\")
	}
	content, after, closed := message.CutQuoted(s)
	rest = strings.TrimLeft(after, " \t\r\n")
	return message.Unquote(content), rest, closed && (rest == "" || rest[0] == ',')
}
