package b2bua

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
	v.name, rest, ok = cutByte(rest, '/')
	if !ok {
		return v, false
	}
	v.version, rest, ok = cutByte(rest, '/')
	if !ok {
		return v, false
	}
	v.name, v.version, rest = trimmed(v.name), trimmed(v.version), trimmed(rest)
	n := 0
	for n < len(rest) && !isSpace(rest[n]) {
		n++
	}
	v.transport = rest[:n]
	sentBy, params, _ := cutUnquoted(rest[n:], ';')
	sentBy, v.params = trimmed(sentBy), params
	if len(sentBy) > 0 && sentBy[0] == '[' {
		v.host, v.port, ok = cutByte(sentBy[1:], ']')
		if !ok {
			return v, false
		}
	} else {
		n = 0
		for n < len(sentBy) && sentBy[n] != ':' {
			n++
		}
		v.host, v.port = trimmed(sentBy[:n]), sentBy[n:]
	}
	v.port = trimmed(v.port)
	return v, isToken(v.name) && isToken(v.version) && isToken(v.transport) && len(v.host) > 0 && !hasOther(v.host, &hostBytes)
}

// portNumber is the number of a port with its colon; none is 0.
func portNumber[T text](port T) (n int, ok bool) {
	if len(port) == 0 {
		return 0, true
	}
	if port[0] != ':' {
		return 0, false
	}
	return decimal(trimmed(port[1:]), 65535)
}

// viaWrong says what is wrong with the values of one Via header, and whether
// the first says where an answer goes. The topmost of a message has to be of
// our protocol, the others are only sent back.
func viaWrong[T text](list T, top bool) (wrong string, readable bool) {
	for more := true; more; top = false {
		var value T
		value, list, more = cutUnquoted(list, ',')
		v, ok := splitVia(value)
		if !ok {
			return "Is Malformed", readable
		}
		readable = true
		if _, _, found := cutUnquoted(v.params, '<'); found {
			return "Is Malformed", true // to some parsers a comma after it divides no list
		}
		port, sound := portNumber(v.port)
		switch {
		case top && (!equalFold(v.name, "sip") || !equalFold(v.version, "2.0")):
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
	name   T // as it is between its quotes
	uri    T
	params T // of the header, not of the URI
}

// splitAddress takes a name-addr or addr-spec apart, and says what is wrong
// with it.
func splitAddress[T text](value T) (a address[T], wrong string) {
	value = trimmed(value)
	rest := value
	if len(value) > 0 && value[0] == '"' {
		name, after, closed := cutQuoted(value)
		if !closed {
			return a, "Has an Unclosed Quote"
		}
		a.name, rest = name, after
	}
	n := 0
	for n < len(rest) && rest[n] != '<' && rest[n] != ';' && rest[n] != '"' {
		n++
	}
	switch {
	case n < len(rest) && rest[n] == '"':
		return a, "Has a Quote Within a Name"
	case n < len(rest) && rest[n] == '<':
		name := trimmed(rest[:n])
		if hasOther(name, &nameBytes) {
			wrong = "Has a Comma or Backslash Outside Quotes"
		}
		if len(rest) == len(value) {
			a.name = name
		}
		uri, after, closed := cutByte(rest[n+1:], '>')
		if !closed {
			return a, "Has an Unclosed Bracket"
		}
		a.uri, a.params = uri, trimmed(after)
		if len(a.params) > 0 && a.params[0] != ';' {
			return a, "Has Something Behind Its URI"
		}
	case len(rest) != len(value):
		return a, "Has a Name but No URI in Brackets"
	default:
		a.uri, a.params = trimmed(rest[:n]), rest[n:]
	}
	if wrong == "" {
		wrong = uriWrong(a.uri)
	}
	return a, wrong
}

// cutQuoted splits off the quoted-string that v begins with.
func cutQuoted[T text](v T) (content, after T, closed bool) {
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
	scheme, rest, found := cutByte(uri, ':')
	switch {
	case !found || len(uri) < 3 || hasOther(scheme, &letters) || len(scheme) == 0:
		return "Has No URI of a Known Form"
	case hasOther(rest, &uriBytes):
		return "Has a URI With Characters That Need Escapes"
	case !equalFold(scheme, "sip") && !equalFold(scheme, "sips"):
		return ""
	}
	if len(rest) >= 2 && rest[0] == '/' && rest[1] == '/' {
		rest = rest[2:]
	}
	if user, after, hasUser := cutByte(rest, '@'); hasUser {
		if hasOther(user, &noBrackets) {
			return "Has a URI With a Malformed User"
		}
		if _, _, again := cutByte(after, '@'); again {
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
		inner, after, closed := cutByte(host[1:], ']')
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

// splitCSeq takes a CSeq apart (RFC 3261 section 20.16).
func splitCSeq[T text](value T) (number, method T, wrong string) {
	value = trimmed(value)
	n := 0
	for n < len(value) && !isSpace(value[n]) {
		n++
	}
	number, method = value[:n], trimmed(value[n:])
	if _, ok := decimal(number, maxCSeq); !ok {
		return number, method, "Has No Number Below 2**31"
	}
	if !isToken(method) {
		return number, method, "Has No Method"
	}
	return number, method, ""
}

// maxCSeq is the highest number of a CSeq (RFC 3261 section 8.1.1.5).
const maxCSeq = 1<<31 - 1
