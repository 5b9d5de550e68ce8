package b2bua

import (
	"bytes"
)

// scanned is what the guard needs to know of a message, read from the raw
// bytes without allocation. The slices point into the message.
type scanned struct {
	response bool
	method   []byte // of a request
	uri      []byte // of a request
	version  []byte // "SIP/2.0", or what stands in its place
	vias     int    // header lines
	viaHost  []byte // of the topmost Via, and what follows here
	viaPort  int    // 0: none
	rport    bool   // the answer is to go to the port that the request came from (RFC 3581)
	branch   []byte
	toTag    []byte
	fromTag  []byte
	callID   []byte
	cseq     []byte // the number

	authorized bool // there are credentials
	body       []byte

	readable bool   // the topmost Via says where an answer goes
	header   string // that is wrong; empty: the message as a whole
	wrong    string // what is wrong first, in words; empty: nothing
	headers  int
	longest  int // header, in bytes

	cseqMethod []byte
	viaList    bool // the first Via header has several values
	length     int  // Content-Length; -1: none
	seen       headerSet
}

// headerKind is a header that the guard knows.
type headerKind uint8

const (
	kindOther headerKind = iota
	kindVia
	kindTo
	kindFrom
	kindCallID
	kindCSeq
	kindMaxForwards
	kindContentLength
	kindAuthorization
)

// headerKindOf is the kind of a header by its name, in any case, long or compact
// (RFC 3261 section 7.3.3).
func headerKindOf(name []byte) headerKind {
	switch len(name) {
	case 1:
		switch name[0] | 0x20 {
		case 'v':
			return kindVia
		case 't':
			return kindTo
		case 'f':
			return kindFrom
		case 'i':
			return kindCallID
		case 'l':
			return kindContentLength
		}
	case 2:
		return kindIf(kindTo, name, "to")
	case 3:
		return kindIf(kindVia, name, "via")
	case 4:
		return max(kindIf(kindFrom, name, "from"), kindIf(kindCSeq, name, "cseq"))
	case 7:
		return kindIf(kindCallID, name, "call-id")
	case 12:
		return kindIf(kindMaxForwards, name, "max-forwards")
	case 13:
		return kindIf(kindAuthorization, name, "authorization")
	case 14:
		return kindIf(kindContentLength, name, "content-length")
	}
	return kindOther
}

func kindIf(kind headerKind, name []byte, lower string) headerKind {
	if equalFold(name, lower) {
		return kind
	}
	return kindOther
}

// headerSet is a set of kinds.
type headerSet uint8

func setOf(kind headerKind) headerSet { return 1 << kind }

// scan reads a message's start line and the headers that decide what becomes
// of it. It says false for what is not SIP at all. What it finds wrong does
// not keep it from reading on: a refusal needs the other headers.
func scan(message []byte) (s scanned, ok bool) {
	s.length = -1
	line, rest := cutLine(message)
	ok = s.startLine(line)
	s.linesEnd(message[:len(message)-len(rest)])
	if len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		s.fault("", "Start Line Is Folded")
	}
	for {
		if len(rest) == 0 {
			s.fault("", "Headers Have No End")
			break
		}
		before := rest
		line, rest = cutHeader(rest)
		s.linesEnd(before[:len(before)-len(rest)])
		if len(line) == 0 {
			break
		}
		s.headers++
		s.longest = max(s.longest, len(line))
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found {
			s.fault("", "Header Line Has No Colon")
			continue
		}
		s.take(trimmed(name), bytes.TrimSpace(value)) // as the library does
	}
	s.takeBody(rest)
	s.complete()
	if !ok && !s.readable {
		return scanned{}, false
	}
	return s, true
}

// fault notes what is wrong, the first that is found.
func (s *scanned) fault(header, wrong string) {
	if s.wrong == "" && wrong != "" {
		s.header, s.wrong = header, wrong
	}
}

// startLine takes the start line apart (RFC 3261 sections 7.1 and 7.2).
func (s *scanned) startLine(line []byte) (ok bool) {
	first, after, found := bytes.Cut(line, []byte{' '})
	if isSIPVersion(first) {
		s.response, s.version = true, first
		code, _, reason := bytes.Cut(after, []byte{' '})
		if n, number := decimal(code, 699); !number || len(code) != 3 || n < 100 || !reason {
			s.fault("", "Status Line Is Malformed")
		}
		return found
	}
	uri := bytes.TrimRight(after, " ")
	if len(uri) != len(after) {
		s.fault("", "Start Line Ends in a Space")
	}
	i := bytes.LastIndexByte(uri, ' ')
	s.method = first
	if i < 0 || !isSIPVersion(uri[i+1:]) {
		s.fault("", "Start Line Has No Version")
		return false
	}
	s.uri, s.version = uri[:i], uri[i+1:]
	if !isToken(first) {
		s.fault("", "Method Is No Token")
	}
	return len(first) > 0
}

// isSIPVersion says whether b looks like a version of SIP. It is in any case
// (RFC 3261 section 7.1).
func isSIPVersion(b []byte) bool { return len(b) >= 4 && equalFold(b[:4], "sip/") }

// linesEnd checks that lines end in CRLF, and that neither stands alone.
func (s *scanned) linesEnd(lines []byte) {
	for len(lines) > 0 {
		line, rest, found := bytes.Cut(lines, []byte{'\n'})
		if !found {
			s.fault("", "Headers Have No End")
			return
		}
		if bytes.IndexByte(line, '\r') != len(line)-1 || len(line) == 0 {
			s.fault("", "Line Does Not End in CRLF")
			return
		}
		lines = rest
	}
}

func (s *scanned) take(name, value []byte) {
	if !isToken(name) {
		s.fault("", "Header Name Is No Token")
		return
	}
	switch headerKindOf(name) {
	case kindVia:
		s.takeVia(value)
	case kindTo:
		s.once(kindTo, "To")
		s.toTag = s.takeAddress("To", value)
	case kindFrom:
		s.once(kindFrom, "From")
		s.fromTag = s.takeAddress("From", value)
	case kindCallID:
		s.once(kindCallID, "Call-ID")
		if s.callID = value; len(value) == 0 || hasOther(value, &wordBytes) {
			s.fault("Call-ID", "Is Malformed")
		}
	case kindCSeq:
		s.once(kindCSeq, "CSeq")
		number, method, wrong := splitCSeq(value)
		s.fault("CSeq", wrong)
		s.cseq, s.cseqMethod = canonical(number), method
	case kindMaxForwards:
		s.once(kindMaxForwards, "Max-Forwards")
		if _, ok := decimal(value, 255); !ok { // RFC 3261 section 20.22
			s.fault("Max-Forwards", "Is Not 0 to 255")
		}
	case kindContentLength:
		s.takeLength(value)
	case kindAuthorization:
		s.authorized = true
	case kindOther:
	}
}

// takeAddress gives the tag of a From or To.
func (s *scanned) takeAddress(header string, value []byte) (tag []byte) {
	a, wrong := splitAddress(value)
	s.fault(header, wrong)
	if tag = param(a.params, "tag"); hasOther(tag, &wordBytes) {
		s.fault(header, "Has a Malformed Tag")
	}
	return tag
}

// once notes that there is a header which may not come twice.
func (s *scanned) once(kind headerKind, name string) {
	if s.has(kind) {
		s.fault(name, "Comes Twice")
	}
	s.seen |= setOf(kind)
}

func (s *scanned) has(kind headerKind) bool { return s.seen&setOf(kind) != 0 }

func (s *scanned) takeVia(value []byte) {
	s.vias++
	wrong, readable := viaWrong(value, s.vias == 1)
	s.fault("Via", wrong)
	if s.vias > 1 {
		return
	}
	s.readable = readable
	top, _, more := cutUnquoted(value, ',')
	v, _ := splitVia(top)
	s.viaHost = v.host
	s.viaPort, _ = portNumber(v.port)
	s.rport = hasParam(v.params, "rport")
	if s.branch, s.viaList = param(v.params, "branch"), more; hasOther(s.branch, &wordBytes) {
		s.fault("Via", "Has a Malformed Branch")
	}
}

// takeLength reads a Content-Length. Two that say the same do no harm.
func (s *scanned) takeLength(value []byte) {
	n, ok := decimal(value, 1<<30)
	if !ok {
		s.fault("Content-Length", "Is Malformed")
		return
	}
	if s.length >= 0 && s.length != n {
		s.fault("Content-Length", "Comes Twice")
	}
	s.length = n
}

// takeBody finds the body: what is more than Content-Length does not belong to
// the message, less is an error (RFC 3261 section 18.3).
func (s *scanned) takeBody(rest []byte) {
	s.body = rest
	switch {
	case s.length > len(rest):
		s.fault("Content-Length", "Is More Than the Message Has")
	case s.length >= 0:
		s.body = rest[:s.length]
	}
}

// complete checks what every message has to have, and what has to agree (RFC
// 3261 sections 8.1.1, 8.1.3.3 and 17.1.3).
func (s *scanned) complete() {
	switch {
	case s.vias == 0:
		s.fault("Via", "Is Missing")
	case !s.has(kindFrom):
		s.fault("From", "Is Missing")
	case !s.has(kindTo):
		s.fault("To", "Is Missing")
	case !s.has(kindCallID):
		s.fault("Call-ID", "Is Missing")
	case !s.has(kindCSeq):
		s.fault("CSeq", "Is Missing")
	case len(s.fromTag) == 0:
		s.fault("From", "Has No Tag")
	case s.response && (s.vias > 1 || s.viaList):
		s.fault("Via", "Is of Others Too")
	case s.response:
	case !bytes.Equal(s.method, s.cseqMethod):
		s.fault("CSeq", "Is of Another Method")
	default:
		s.fault(requestURI, requestURIWrong(s.uri))
	}
}

// requestURI is what the Request-URI is called among the headers.
const requestURI = "Request-URI"

// requestURIWrong: the Request-URI has no headers (RFC 3261 section 19.1.1).
func requestURIWrong(uri []byte) string {
	if wrong := uriWrong(uri); wrong != "" {
		return wrong
	}
	scheme, rest, _ := cutByte(uri, ':')
	if equalFold(scheme, "tel") {
		return ""
	}
	if !equalFold(scheme, "sip") && !equalFold(scheme, "sips") {
		return "Is of an Unknown Scheme"
	}
	if _, host, hasUser := cutByte(rest, '@'); hasUser {
		rest = host
	}
	if bytes.IndexByte(rest, '?') >= 0 {
		return "Has Headers"
	}
	return ""
}

// unknownScheme says that the Request-URI is of a scheme that we can't call,
// of whatever form its rest is.
func (s *scanned) unknownScheme() bool {
	scheme, _, found := cutByte(s.uri, ':')
	if !found || len(scheme) == 0 || !letters[scheme[0]] || hasOther(scheme, &schemeBytes) || hasOther(s.uri, &uriBytes) {
		return false
	}
	return !equalFold(scheme, "sip") && !equalFold(scheme, "sips") && !equalFold(scheme, "tel")
}

// canonical is a number without leading zeros.
func canonical(number []byte) []byte {
	for len(number) > 1 && number[0] == '0' {
		number = number[1:]
	}
	return number
}

// cutLine splits off the first line, without its end.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

// cutHeader splits off the first header with the lines that are folded into
// it (RFC 3261 section 7.3.1).
func cutHeader(b []byte) (header, rest []byte) {
	header, rest = cutLine(b)
	for len(header) > 0 && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		_, after := cutLine(rest)
		header, rest = bytes.TrimRight(b[:len(b)-len(after)], "\r\n"), after
	}
	return header, rest
}

// param finds a parameter in a list that semicolons separate: of several of
// the name the last, as the parser does.
func param(list []byte, name string) (found []byte) {
	for len(list) > 0 {
		var key, value []byte
		key, value, list = cutParam(list)
		if equalFold(key, name) {
			found = value
		}
	}
	return found
}

func hasParam(list []byte, name string) bool {
	for len(list) > 0 {
		var key []byte
		if key, _, list = cutParam(list); equalFold(key, name) {
			return true
		}
	}
	return false
}
