package message

import "bytes"

// Scanned holds the parts of a message that Scan has read. The slices point into the
// message.
type Scanned struct {
	Response bool
	Method   []byte // method of a request
	uri      []byte // Request-URI of a request
	Version  []byte // "SIP/2.0", or the text in its place
	vias     int    // header lines
	ViaHost  []byte // host of the topmost Via; ViaPort, Rport and Branch are of the same Via
	ViaPort  int    // 0 if it names none
	Rport    bool   // the answer goes to the source port of the request (RFC 3581)
	Branch   []byte
	ToTag    []byte
	FromTag  []byte
	CallID   []byte
	CSeq     []byte // the number

	Authorized bool   // there are credentials in the message
	Nonce      []byte // the nonce in them, if it has the length of ours; nil if none
	Body       []byte

	Readable bool   // the topmost Via says where a response has to be sent
	Header   string // the header with the first fault; empty means the message as a whole
	Wrong    string // the first fault, in words; empty if there is none
	Headers  int
	Longest  int // longest header, in bytes

	cseqMethod []byte
	viaList    bool // the first Via header has several values
	length     int  // Content-Length; -1 if none
	seen       headerSet
}

// headerKind is a kind of header that Scan or Parse reads.
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
	kindContact // from here on, headers that only Parse reads
	kindRecordRoute
	kindContentType
)

// headerKindOf returns the kind of a header by its full or compact name, in any case
// (RFC 3261 section 7.3.3).
func headerKindOf[T text](name T) headerKind {
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
		case 'm':
			return kindContact
		case 'c':
			return kindContentType
		}
	case 2:
		return kindIf(kindTo, name, "to")
	case 3:
		return kindIf(kindVia, name, "via")
	case 4:
		return max(kindIf(kindFrom, name, "from"), kindIf(kindCSeq, name, "cseq"))
	case 7:
		return max(kindIf(kindCallID, name, "call-id"), kindIf(kindContact, name, "contact"))
	case 12:
		return max(kindIf(kindMaxForwards, name, "max-forwards"), kindIf(kindRecordRoute, name, "record-route"),
			kindIf(kindContentType, name, "content-type"))
	case 13:
		return kindIf(kindAuthorization, name, "authorization")
	case 14:
		return kindIf(kindContentLength, name, "content-length")
	}
	return kindOther
}

func kindIf[T text](kind headerKind, name T, lower string) headerKind {
	if EqualFold(name, lower) {
		return kind
	}
	return kindOther
}

// headerSet is a set of header kinds.
type headerSet uint16

func setOf(kind headerKind) headerSet { return 1 << kind }

// Scan reads the start line of a message and the headers that decide how it is handled.
// It allocates nothing. A fault does not stop it, because a refusal needs the other
// headers. It returns false if the bytes are not SIP at all.
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
		line, rest = cutHeader(rest)
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
		s.take(Trim(name), bytes.TrimSpace(value)) // trimmed as in Parse
	}
	s.takeBody(rest)
	s.complete()
	if !ok && !s.Readable {
		return Scanned{}, false
	}
	return s, true
}

// fault records a fault if it is the first one.
func (s *Scanned) fault(header, wrong string) {
	if s.Wrong == "" && wrong != "" {
		s.Header, s.Wrong = header, wrong
	}
}

// startLine reads the start line (RFC 3261 sections 7.1 and 7.2).
func (s *Scanned) startLine(line []byte) (ok bool) {
	first, after, found := bytes.Cut(line, []byte{' '})
	if isSIPVersion(first) {
		s.Response, s.Version = true, first
		code, _, _ := bytes.Cut(after, []byte{' '}) // some senders leave out the space before an empty phrase
		if n, number := Decimal(code, 699); !number || len(code) != 3 || n < 100 {
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

// isSIPVersion reports whether b looks like a version of SIP, in any case (RFC 3261
// section 7.1).
func isSIPVersion(b []byte) bool { return len(b) >= 4 && EqualFold(b[:4], "sip/") }

// linesEnd checks that lines end in CRLF, and that CR and LF never stand alone.
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
	switch headerKindOf(name) {
	case kindVia:
		s.takeVia(value)
	case kindTo:
		s.once(kindTo, "To")
		s.ToTag = s.takeAddress("To", value)
	case kindFrom:
		s.once(kindFrom, "From")
		s.FromTag = s.takeAddress("From", value)
	case kindCallID:
		s.once(kindCallID, "Call-ID")
		if s.CallID = value; len(value) == 0 || hasOther(value, &wordBytes) {
			s.fault("Call-ID", "Is Malformed")
		}
	case kindCSeq:
		s.once(kindCSeq, "CSeq")
		number, method, wrong := splitCSeq(value)
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
		s.takeCredentials(value)
	case kindOther, kindContact, kindRecordRoute, kindContentType:
	}
}

// takeAddress checks a From or To and returns its tag.
func (s *Scanned) takeAddress(header string, value []byte) (tag []byte) {
	a, wrong := splitAddress(value)
	s.fault(header, wrong)
	if tag = param(a.params, "tag"); hasOther(tag, &wordBytes) {
		s.fault(header, "Has a Malformed Tag")
	}
	return tag
}

// once notes a header that may occur only one time, and records a fault if it is repeated.
func (s *Scanned) once(kind headerKind, name string) {
	if s.has(kind) {
		s.fault(name, "Comes Twice")
	}
	s.seen |= setOf(kind)
}

func (s *Scanned) has(kind headerKind) bool { return s.seen&setOf(kind) != 0 }

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
	s.ViaPort, _ = v.portNumber()
	s.Rport = hasParam(v.params, "rport")
	if s.Branch, s.viaList = param(v.params, "branch"), more; hasOther(s.Branch, &wordBytes) {
		s.fault("Via", "Has a Malformed Branch")
	}
}

// takeLength reads a Content-Length. Two equal ones are harmless.
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

// takeBody finds the body. Bytes beyond Content-Length do not belong to the message; too
// few bytes are a fault (RFC 3261 section 18.3).
func (s *Scanned) takeBody(rest []byte) {
	s.Body = rest
	switch {
	case s.length > len(rest):
		s.fault("Content-Length", "Is More Than the Message Has")
	case s.length >= 0:
		s.Body = rest[:s.length]
	}
}

// complete checks that no required header is missing and that the headers agree (RFC 3261
// sections 8.1.1, 8.1.3.3 and 17.1.3).
func (s *Scanned) complete() {
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

// RequestURI is the value of Scanned.Header if the fault is in the Request-URI.
const RequestURI = "Request-URI"

// requestURIWrong returns what is wrong with a Request-URI, which must have no headers
// (RFC 3261 section 19.1.1).
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

// callIDLine begins a Call-ID as the SIP library writes it.
var callIDLine = []byte("\r\nCall-ID: ")

// CallIDOf finds the Call-ID of a message that this server has written.
func CallIDOf(message []byte) (id []byte, found bool) {
	_, after, ours := bytes.Cut(message, callIDLine)
	if !ours {
		s, ok := Scan(message)
		return s.CallID, ok && len(s.CallID) > 0
	}
	id, _ = CutLine(after)
	return id, len(id) > 0
}

// CSeqMethod returns the method in CSeq. In a response it is the method of the answered
// request.
func (s *Scanned) CSeqMethod() []byte { return s.cseqMethod }

// MayBringSDP reports whether the message is a response that may have an offer or an answer: to INVITE (RFC 3261
// section 13.2.1), UPDATE (RFC 3311 section 5) or PRACK (RFC 3262 section 5).
func (s *Scanned) MayBringSDP() bool {
	if !s.Response {
		return false
	}
	switch string(s.cseqMethod) {
	case "INVITE", "UPDATE", "PRACK":
		return true
	}
	return false
}

// UnknownScheme reports whether the Request-URI has a scheme that can't be called,
// whatever follows the scheme.
func (s *Scanned) UnknownScheme() bool {
	scheme, _, found := CutByte(s.uri, ':')
	if !found || len(scheme) == 0 || !letters[scheme[0]] || hasOther(scheme, &schemeBytes) || hasOther(s.uri, &uriBytes) {
		return false
	}
	return !EqualFold(scheme, "sip") && !EqualFold(scheme, "sips") && !EqualFold(scheme, "tel")
}

// canonical returns a number without leading zeros.
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

// cutHeader splits off the first header with its folded lines (RFC 3261 section 7.3.1).
func cutHeader(b []byte) (header, rest []byte) {
	header, rest = CutLine(b)
	for len(header) > 0 && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		_, after := CutLine(rest)
		header, rest = bytes.TrimRight(b[:len(b)-len(after)], "\r\n"), after
	}
	return header, rest
}

// param finds a parameter in a list that semicolons separate. If there are several with
// this name, the last one counts, as in the parser.
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
