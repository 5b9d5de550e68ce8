package message

// This file parses the headers that decide which call a message belongs to and how it is handled.
// Scan checks them in the raw bytes, and Parse splits them with the same functions, so every
// message that passes the check can be parsed. Faults are described in fixed words, never with the
// peer's text.

// via holds the parts of one Via value (RFC 3261 section 20.42).
type via[T text] struct {
	name, version, transport T
	host, port               T // an IPv6 address is without brackets
	params                   T // without the first semicolon
}

// splitVia splits one Via value. It returns false if protocol or host is missing.
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
	return v, IsToken(v.name) && IsToken(v.version) && IsToken(v.transport) && len(v.host) > 0 &&
		!hasOther(v.host, &hostBytes)
}

// portNumber reads a port with its colon. A missing port gives 0.
func portNumber[T text](port T) (n int, ok bool) {
	if len(port) == 0 {
		return 0, true
	}
	if port[0] != ':' {
		return 0, false
	}
	return Decimal(Trim(port[1:]), 65535)
}

// portNumber reads the port of a Via. A missing port gives 0; an explicit 0 is malformed.
func (v *via[T]) portNumber() (n int, ok bool) {
	n, ok = portNumber(v.port)
	return n, ok && (n > 0 || len(v.port) == 0)
}

// viaWrong returns what is wrong with the values of one Via header. readable reports
// whether the first value says where an answer goes. A message's topmost Via must have
// version 2.0; the others are only sent back, as they came.
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
			return "Is Malformed", true // some parsers do not split at a comma after it
		}
		switch _, sound := v.portNumber(); {
		case top && (!EqualFold(v.name, "sip") || !EqualFold(v.version, "2.0")):
			return "Is of Another Protocol", true
		case top && !sound:
			return "Has No Valid Port", true
		}
	}
	return "", readable
}

// address holds the parts of the value of a From, To or Contact (RFC 3261 section 20.10).
type address[T text] struct {
	name   T // without quotes; escapes are kept
	uri    T
	params T // the header's parameters, not the URI's
}

// splitAddress splits a name-addr or addr-spec, and returns what is wrong with it.
func splitAddress[T text](value T) (a address[T], wrong string) {
	value = Trim(value)
	rest := value
	if len(value) > 0 && value[0] == '"' {
		name, after, closed := CutQuoted(value)
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
		name := Trim(rest[:n])
		if hasOther(name, &nameBytes) {
			wrong = "Has a Comma or Backslash Outside Quotes"
		}
		if len(rest) == len(value) {
			a.name = name
		}
		uri, after, closed := CutByte(rest[n+1:], '>')
		if !closed {
			return a, "Has an Unclosed Bracket"
		}
		a.uri, a.params = uri, Trim(after)
		if len(a.params) > 0 && a.params[0] != ';' {
			return a, "Has Something Behind Its URI"
		}
	case len(rest) != len(value):
		return a, "Has a Name but No URI in Brackets"
	default:
		a.uri, a.params = Trim(rest[:n]), rest[n:]
	}
	if wrong == "" {
		wrong = uriWrong(a.uri)
	}
	return a, wrong
}

// CutQuoted splits off the quoted-string at the beginning of v.
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

// uriWrong returns what is wrong with a URI. Schemes other than sip and sips are checked
// only for their characters.
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

// hostWrong returns what is wrong with a sip URI from its host on. In a URI without a user, the
// library would take any bracket for a bracket of the host.
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

// splitCSeq splits a CSeq (RFC 3261 section 20.16), and returns what is wrong with it.
func splitCSeq[T text](value T) (number, method T, wrong string) {
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

// maxCSeq is the highest CSeq number (RFC 3261 section 8.1.1.5).
const maxCSeq = 1<<31 - 1

// IsSupportedVersion reports whether this server supports a version of SIP. RFC 3261
// section 7.1 allows any case, but senders write only these two forms.
func IsSupportedVersion(version string) bool { return version == "SIP/2.0" || version == "sip/2.0" }
