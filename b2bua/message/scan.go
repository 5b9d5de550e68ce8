package message

import (
	"bytes"
)

// Scanned is what the guard needs to know of a message, read from the raw
// bytes without allocation. The slices point into the message.
type Scanned struct {
	Response bool
	Method   []byte // of a request
	uri      []byte // of a request
	Version  []byte // "SIP/2.0", or what stands in its place
	vias     int    // header lines
	ViaHost  []byte // of the topmost Via, and what follows here
	ViaPort  int    // 0: none
	Rport    bool   // the answer is to go to the port that the request came from (RFC 3581)
	Branch   []byte
	ToTag    []byte
	FromTag  []byte
	CallID   []byte
	CSeq     []byte // the number

	Authorized bool // there are credentials
	Body       []byte

	Readable bool   // the topmost Via says where an answer goes
	Header   string // that is wrong; empty: the message as a whole
	Wrong    string // what is wrong first, in words; empty: nothing
	Headers  int
	Longest  int // header, in bytes

	cseqMethod []byte
	viaList    bool // the first Via header has several values
	length     int  // Content-Length; -1: none
	seen       headerSet
}

// HeaderKind is a header that the guard knows.
type HeaderKind uint8

const (
	kindOther HeaderKind = iota
	KindVia
	kindTo
	KindFrom
	KindCallID
	KindCSeq
	kindMaxForwards
	kindContentLength
	kindAuthorization
)

// HeaderKindOf is the kind of a header by its name, in any case, long or compact
// (RFC 3261 section 7.3.3).
func HeaderKindOf(name []byte) HeaderKind {
	switch len(name) {
	case 1:
		switch name[0] | 0x20 {
		case 'v':
			return KindVia
		case 't':
			return kindTo
		case 'f':
			return KindFrom
		case 'i':
			return KindCallID
		case 'l':
			return kindContentLength
		}
	case 2:
		return kindIf(kindTo, name, "to")
	case 3:
		return kindIf(KindVia, name, "via")
	case 4:
		return max(kindIf(KindFrom, name, "from"), kindIf(KindCSeq, name, "cseq"))
	case 7:
		return kindIf(KindCallID, name, "call-id")
	case 12:
		return kindIf(kindMaxForwards, name, "max-forwards")
	case 13:
		return kindIf(kindAuthorization, name, "authorization")
	case 14:
		return kindIf(kindContentLength, name, "content-length")
	}
	return kindOther
}

func kindIf(kind HeaderKind, name []byte, lower string) HeaderKind {
	if EqualFold(name, lower) {
		return kind
	}
	return kindOther
}

// headerSet is a set of kinds.
type headerSet uint8

func setOf(kind HeaderKind) headerSet { return 1 << kind }

// Scan reads a message's start line and the headers that decide what becomes
// of it. It says false for what is not SIP at all. What it finds wrong does
// not keep it from reading on: a refusal needs the other headers.
func Scan(message []byte) (s Scanned, ok bool) {
	s.length = -1
	line, rest := CutLine(message)
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
		line, rest = CutHeader(rest)
		s.linesEnd(before[:len(before)-len(rest)])
		if len(line) == 0 {
			break
		}
		s.Headers++
		s.Longest = max(s.Longest, len(line))
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found {
			s.fault("", "Header Line Has No Colon")
			continue
		}
		s.take(Trim(name), bytes.TrimSpace(value)) // as the library does
	}
	s.takeBody(rest)
	s.complete()
	if !ok && !s.Readable {
		return Scanned{}, false
	}
	return s, true
}

// fault notes what is wrong, the first that is found.
func (s *Scanned) fault(header, wrong string) {
	if s.Wrong == "" && wrong != "" {
		s.Header, s.Wrong = header, wrong
	}
}

// startLine takes the start line apart (RFC 3261 sections 7.1 and 7.2).
func (s *Scanned) startLine(line []byte) (ok bool) {
	first, after, found := bytes.Cut(line, []byte{' '})
	if isSIPVersion(first) {
		s.Response, s.Version = true, first
		code, _, reason := bytes.Cut(after, []byte{' '})
		if n, number := Decimal(code, 699); !number || len(code) != 3 || n < 100 || !reason {
			s.fault("", "Status Line Is Malformed")
		}
		return found
	}
	uri := bytes.TrimRight(after, " ")
	if len(uri) != len(after) {
		s.fault("", "Start Line Ends in a Space")
	}
	i := bytes.LastIndexByte(uri, ' ')
	s.Method = first
	if i < 0 || !isSIPVersion(uri[i+1:]) {
		s.fault("", "Start Line Has No Version")
		return false
	}
	s.uri, s.Version = uri[:i], uri[i+1:]
	if !IsToken(first) {
		s.fault("", "Method Is No Token")
	}
	return len(first) > 0
}

// isSIPVersion says whether b looks like a version of SIP. It is in any case
// (RFC 3261 section 7.1).
func isSIPVersion(b []byte) bool { return len(b) >= 4 && EqualFold(b[:4], "sip/") }

// linesEnd checks that lines end in CRLF, and that neither stands alone.
func (s *Scanned) linesEnd(lines []byte) {
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

func (s *Scanned) take(name, value []byte) {
	if !IsToken(name) {
		s.fault("", "Header Name Is No Token")
		return
	}
	switch HeaderKindOf(name) {
	case KindVia:
		s.takeVia(value)
	case kindTo:
		s.once(kindTo, "To")
		s.ToTag = s.takeAddress("To", value)
	case KindFrom:
		s.once(KindFrom, "From")
		s.FromTag = s.takeAddress("From", value)
	case KindCallID:
		s.once(KindCallID, "Call-ID")
		if s.CallID = value; len(value) == 0 || hasOther(value, &wordBytes) {
			s.fault("Call-ID", "Is Malformed")
		}
	case KindCSeq:
		s.once(KindCSeq, "CSeq")
		number, method, wrong := SplitCSeq(value)
		s.fault("CSeq", wrong)
		s.CSeq, s.cseqMethod = canonical(number), method
	case kindMaxForwards:
		s.once(kindMaxForwards, "Max-Forwards")
		if _, ok := Decimal(value, 255); !ok { // RFC 3261 section 20.22
			s.fault("Max-Forwards", "Is Not 0 to 255")
		}
	case kindContentLength:
		s.takeLength(value)
	case kindAuthorization:
		s.Authorized = true
	case kindOther:
	}
}

// takeAddress gives the tag of a From or To.
func (s *Scanned) takeAddress(header string, value []byte) (tag []byte) {
	a, wrong := SplitAddress(value)
	s.fault(header, wrong)
	if tag = param(a.Params, "tag"); hasOther(tag, &wordBytes) {
		s.fault(header, "Has a Malformed Tag")
	}
	return tag
}

// once notes that there is a header which may not come twice.
func (s *Scanned) once(kind HeaderKind, name string) {
	if s.has(kind) {
		s.fault(name, "Comes Twice")
	}
	s.seen |= setOf(kind)
}

func (s *Scanned) has(kind HeaderKind) bool { return s.seen&setOf(kind) != 0 }

func (s *Scanned) takeVia(value []byte) {
	s.vias++
	wrong, readable := viaWrong(value, s.vias == 1)
	s.fault("Via", wrong)
	if s.vias > 1 {
		return
	}
	s.Readable = readable
	top, _, more := CutUnquoted(value, ',')
	v, _ := splitVia(top)
	s.ViaHost = v.host
	s.ViaPort, _ = portNumber(v.port)
	s.Rport = hasParam(v.params, "rport")
	if s.Branch, s.viaList = param(v.params, "branch"), more; hasOther(s.Branch, &wordBytes) {
		s.fault("Via", "Has a Malformed Branch")
	}
}

// takeLength reads a Content-Length. Two that say the same do no harm.
func (s *Scanned) takeLength(value []byte) {
	n, ok := Decimal(value, 1<<30)
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
func (s *Scanned) takeBody(rest []byte) {
	s.Body = rest
	switch {
	case s.length > len(rest):
		s.fault("Content-Length", "Is More Than the Message Has")
	case s.length >= 0:
		s.Body = rest[:s.length]
	}
}

// complete checks what every message has to have, and what has to agree (RFC
// 3261 sections 8.1.1, 8.1.3.3 and 17.1.3).
func (s *Scanned) complete() {
	switch {
	case s.vias == 0:
		s.fault("Via", "Is Missing")
	case !s.has(KindFrom):
		s.fault("From", "Is Missing")
	case !s.has(kindTo):
		s.fault("To", "Is Missing")
	case !s.has(KindCallID):
		s.fault("Call-ID", "Is Missing")
	case !s.has(KindCSeq):
		s.fault("CSeq", "Is Missing")
	case len(s.FromTag) == 0:
		s.fault("From", "Has No Tag")
	case s.Response && (s.vias > 1 || s.viaList):
		s.fault("Via", "Is of Others Too")
	case s.Response:
	case !bytes.Equal(s.Method, s.cseqMethod):
		s.fault("CSeq", "Is of Another Method")
	default:
		s.fault(RequestURI, requestURIWrong(s.uri))
	}
}

// RequestURI is what the Request-URI is called among the headers.
const RequestURI = "Request-URI"

// requestURIWrong: the Request-URI has no headers (RFC 3261 section 19.1.1).
func requestURIWrong(uri []byte) string {
	if wrong := uriWrong(uri); wrong != "" {
		return wrong
	}
	scheme, rest, _ := CutByte(uri, ':')
	if EqualFold(scheme, "tel") {
		return ""
	}
	if !EqualFold(scheme, "sip") && !EqualFold(scheme, "sips") {
		return "Is of an Unknown Scheme"
	}
	if _, host, hasUser := CutByte(rest, '@'); hasUser {
		rest = host
	}
	if bytes.IndexByte(rest, '?') >= 0 {
		return "Has Headers"
	}
	return ""
}

// UnknownScheme says that the Request-URI is of a scheme that we can't call,
// of whatever form its rest is.
func (s *Scanned) UnknownScheme() bool {
	scheme, _, found := CutByte(s.uri, ':')
	if !found || len(scheme) == 0 || !letters[scheme[0]] || hasOther(scheme, &schemeBytes) || hasOther(s.uri, &uriBytes) {
		return false
	}
	return !EqualFold(scheme, "sip") && !EqualFold(scheme, "sips") && !EqualFold(scheme, "tel")
}

// canonical is a number without leading zeros.
func canonical(number []byte) []byte {
	for len(number) > 1 && number[0] == '0' {
		number = number[1:]
	}
	return number
}

// CutLine splits off the first line, without its end.
func CutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

// CutHeader splits off the first header with the lines that are folded into
// it (RFC 3261 section 7.3.1).
func CutHeader(b []byte) (header, rest []byte) {
	header, rest = CutLine(b)
	for len(header) > 0 && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		_, after := CutLine(rest)
		header, rest = bytes.TrimRight(b[:len(b)-len(after)], "\r\n"), after
	}
	return header, rest
}

// param finds a parameter in a list that semicolons separate: of several of
// the name the last, as the parser does.
func param(list []byte, name string) (found []byte) {
	for len(list) > 0 {
		var key, value []byte
		key, value, list = CutParam(list)
		if EqualFold(key, name) {
			found = value
		}
	}
	return found
}

func hasParam(list []byte, name string) bool {
	for len(list) > 0 {
		var key []byte
		if key, _, list = CutParam(list); EqualFold(key, name) {
			return true
		}
	}
	return false
}
