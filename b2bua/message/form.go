package message

import "strings"

// The forms of the headers that decide whose a message is and what becomes of
// it. The guard checks them in the raw bytes, the library's parser is given
// readers that take them apart in the same way: what the one admits the other
// can read. What is wrong is said in words, none of them the peer's.

// via is one Via value taken apart (RFC 3261 section 20.42).
type via[T text] struct {
	name, version, transport T
	host, port               T // of an IPv6 address without its brackets
	params                   T // without the first semicolon
}

// splitVia takes one Via value apart. It says false if there is no protocol
// and no host in it.
func splitVia[T text](value T) (v via[T], ok bool) {
	rest := value
	v.name, rest, ok = CutByte(rest, '/')
	if !ok {
		return v, false
	}
	v.version, rest, ok = CutByte(rest, '/')
	if !ok {
		return v, false
	}
	v.name, v.version, rest = Trim(v.name), Trim(v.version), Trim(rest)
	n := 0
	for n < len(rest) && !isSpace(rest[n]) {
		n++
	}
	v.transport = rest[:n]
	sentBy, params, _ := CutUnquoted(rest[n:], ';')
	sentBy, v.params = Trim(sentBy), params
	if len(sentBy) > 0 && sentBy[0] == '[' {
		v.host, v.port, ok = CutByte(sentBy[1:], ']')
		if !ok {
			return v, false
		}
	} else {
		n = 0
		for n < len(sentBy) && sentBy[n] != ':' {
			n++
		}
		v.host, v.port = Trim(sentBy[:n]), sentBy[n:]
	}
	v.port = Trim(v.port)
	return v, IsToken(v.name) && IsToken(v.version) && IsToken(v.transport) && len(v.host) > 0 && !hasOther(v.host, &hostBytes)
}

// portNumber is the number of a port with its colon; none is 0.
func portNumber[T text](port T) (n int, ok bool) {
	if len(port) == 0 {
		return 0, true
	}
	if port[0] != ':' {
		return 0, false
	}
	return Decimal(Trim(port[1:]), 65535)
}

// viaWrong says what is wrong with the values of one Via header, and whether
// the first says where an answer goes. The topmost of a message has to be of
// our protocol, the others are only sent back.
func viaWrong[T text](list T, top bool) (wrong string, readable bool) {
	for more := true; more; top = false {
		var value T
		value, list, more = CutUnquoted(list, ',')
		v, ok := splitVia(value)
		if !ok {
			return "Is Malformed", readable
		}
		readable = true
		if _, _, found := CutUnquoted(v.params, '<'); found {
			return "Is Malformed", true // to some parsers a comma after it divides no list
		}
		port, sound := portNumber(v.port)
		switch {
		case top && (!EqualFold(v.name, "sip") || !EqualFold(v.version, "2.0")):
			return "Is of Another Protocol", true
		case !sound, port == 0 && len(v.port) > 0:
			return "Has No Valid Port", true
		}
	}
	return "", readable
}

// address is the value of a From, To or Contact taken apart (RFC 3261 section
// 20.10).
type address[T text] struct {
	Name   T // as it is between its quotes
	Uri    T
	Params T // of the header, not of the URI
}

// SplitAddress takes a name-addr or addr-spec apart, and says what is wrong
// with it.
func SplitAddress[T text](value T) (a address[T], wrong string) {
	value = Trim(value)
	rest := value
	if len(value) > 0 && value[0] == '"' {
		name, after, closed := CutQuoted(value)
		if !closed {
			return a, "Has an Unclosed Quote"
		}
		a.Name, rest = name, after
	}
	n := 0
	for n < len(rest) && rest[n] != '<' && rest[n] != ';' && rest[n] != '"' {
		n++
	}
	switch {
	case n < len(rest) && rest[n] == '"':
		return a, "Has a Quote Within a Name"
	case n < len(rest) && rest[n] == '<':
		name := Trim(rest[:n])
		if hasOther(name, &nameBytes) {
			wrong = "Has a Comma or Backslash Outside Quotes"
		}
		if len(rest) == len(value) {
			a.Name = name
		}
		uri, after, closed := CutByte(rest[n+1:], '>')
		if !closed {
			return a, "Has an Unclosed Bracket"
		}
		a.Uri, a.Params = uri, Trim(after)
		if len(a.Params) > 0 && a.Params[0] != ';' {
			return a, "Has Something Behind Its URI"
		}
	case len(rest) != len(value):
		return a, "Has a Name but No URI in Brackets"
	default:
		a.Uri, a.Params = Trim(rest[:n]), rest[n:]
	}
	if wrong == "" {
		wrong = uriWrong(a.Uri)
	}
	return a, wrong
}

// CutQuoted splits off the quoted-string that v begins with.
func CutQuoted[T text](v T) (content, after T, closed bool) {
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return v[1:i], v[i+1:], true
		}
	}
	return v[len(v):], v[len(v):], false
}

// uriWrong says what is wrong with a URI. Of schemes that are not ours only
// the scheme is looked at.
func uriWrong[T text](uri T) string {
	scheme, rest, found := CutByte(uri, ':')
	switch {
	case !found || len(uri) < 3 || hasOther(scheme, &letters) || len(scheme) == 0:
		return "Has No URI of a Known Form"
	case hasOther(rest, &uriBytes):
		return "Has a URI With Characters That Need Escapes"
	case !EqualFold(scheme, "sip") && !EqualFold(scheme, "sips"):
		return ""
	}
	if len(rest) >= 2 && rest[0] == '/' && rest[1] == '/' {
		rest = rest[2:]
	}
	if user, after, hasUser := CutByte(rest, '@'); hasUser {
		if hasOther(user, &noBrackets) {
			return "Has a URI With a Malformed User"
		}
		if _, _, again := CutByte(after, '@'); again {
			return "Has a URI With Two Hosts"
		}
		return hostWrong(after, true)
	}
	return hostWrong(rest, false)
}

// hostWrong looks at a sip URI from the host on. Without a user the library
// takes any bracket for the host's.
func hostWrong[T text](rest T, hasUser bool) string {
	n := 0
	for n < len(rest) && rest[n] != ';' && rest[n] != '?' {
		n++
	}
	host := rest[:n]
	if !hasUser && hasOther(rest[n:], &noBrackets) {
		return "Has a URI With Brackets Outside Its Host"
	}
	var port T
	if len(host) > 0 && host[0] == '[' {
		inner, after, closed := CutByte(host[1:], ']')
		if !closed || len(inner) > 39 {
			return "Has a URI With a Malformed Host"
		}
		host, port = inner, after
	} else {
		n = 0
		for n < len(host) && host[n] != ':' {
			n++
		}
		host, port = host[:n], host[n:]
	}
	if len(host) == 0 || hasOther(host, &hostBytes) {
		return "Has a URI With a Malformed Host"
	}
	if _, ok := portNumber(port); !ok {
		return "Has a URI With a Malformed Port"
	}
	return ""
}

// SplitCSeq takes a CSeq apart (RFC 3261 section 20.16).
func SplitCSeq[T text](value T) (number, method T, wrong string) {
	value = Trim(value)
	n := 0
	for n < len(value) && !isSpace(value[n]) {
		n++
	}
	number, method = value[:n], Trim(value[n:])
	if _, ok := Decimal(number, maxCSeq); !ok {
		return number, method, "Has No Number Below 2**31"
	}
	if !IsToken(method) {
		return number, method, "Has No Method"
	}
	return number, method, ""
}

// maxCSeq is the highest number of a CSeq (RFC 3261 section 8.1.1.5).
const maxCSeq = 1<<31 - 1

const MaxPassedValue = 1024

// CompactForm is the other name of a header that may be passed on (RFC 3261
// section 7.3.3, RFC 3841, RFC 4474, RFC 6665), or the name itself.
func CompactForm(name string) string {
	switch strings.ToLower(name) {
	case "subject":
		return "s"
	case "allow-events":
		return "u"
	case "accept-contact":
		return "a"
	case "reject-contact":
		return "j"
	case "request-disposition":
		return "d"
	case "identity":
		return "y"
	case "identity-info":
		return "n"
	default:
		return name
	}
}

// IsOurVersion says whether a version is ours. It is so in any case (RFC 3261
// section 7.1), but the library reads only these.
func IsOurVersion(version string) bool { return version == "SIP/2.0" || version == "sip/2.0" }
