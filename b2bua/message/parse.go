package message

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// errUnreadable is the error of Parse.
var errUnreadable = errors.New("the message can't be read")

// Parse reads a message into the library's types, and splits headers as Scan does. A
// header that can't be read stays in the message as spoiled, and only code that needs the
// header refuses the message. Headers without a reader here are left as they came. Parse
// keeps nothing of text. It reads whatever Scan finds well-formed.
func Parse(text []byte) (sip.Message, error) {
	line, rest, ok := nextLine(text)
	if !ok {
		return nil, errUnreadable
	}
	msg, ok := parseStartLine(string(line))
	if !ok {
		return nil, errUnreadable
	}
	length := -1
	for {
		if line, rest, ok = nextHeader(rest); !ok {
			return nil, errUnreadable
		}
		if len(line) == 0 {
			break
		}
		if ok = parseHeader(msg, line, &length); !ok {
			return nil, errUnreadable
		}
	}
	if length < 0 {
		length = len(rest)
	}
	if length > len(rest) {
		return nil, errUnreadable
	}
	if length > 0 {
		msg.SetBody(bytes.Clone(rest[:length]))
	}
	return msg, nil
}

// nextLine splits text at its first CRLF.
func nextLine(text []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(text, '\r')
	if i < 0 || i+1 >= len(text) || text[i+1] != '\n' {
		return nil, nil, false
	}
	return text[:i], text[i+2:], true
}

// nextHeader splits off a header line with the lines that continue it (RFC 3261 section
// 7.3.1).
func nextHeader(text []byte) (line, rest []byte, ok bool) {
	if line, rest, ok = nextLine(text); !ok || len(line) == 0 || len(rest) == 0 || !isBlank(rest[0]) {
		return line, rest, ok
	}
	unfolded := slices.Clip(bytes.TrimRight(line, " \t")) // so that append copies it
	for len(rest) > 0 && isBlank(rest[0]) {
		if line, rest, ok = nextLine(rest); !ok {
			return nil, nil, false
		}
		unfolded = append(append(unfolded, ' '), bytes.Trim(line, " \t")...)
	}
	return unfolded, rest, true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// parseStartLine makes a message of its start line. The version's case does not matter.
func parseStartLine(line string) (sip.Message, bool) {
	const version = "SIP/2.0"
	first, after, _ := strings.Cut(line, " ")
	second, third, found := strings.Cut(after, " ")
	switch {
	case !found:
		return nil, false
	case strings.EqualFold(first, version):
		code, err := strconv.ParseUint(second, 10, 16)
		return sip.NewResponse(int(code), third), err == nil
	}
	req := sip.NewRequest(sip.RequestMethod(first), sip.Uri{})
	err := sip.ParseUri(second, &req.Recipient)
	return req, err == nil && !req.Recipient.Wildcard && strings.EqualFold(third, version)
}

// parseHeader adds a header line to a message. length is Content-Length's.
func parseHeader(msg sip.Message, line []byte, length *int) bool {
	name, text, found := bytes.Cut(line, []byte{':'})
	if !found {
		return false
	}
	name = bytes.TrimSpace(name)
	value := string(bytes.TrimSpace(text))
	read, isList := readerOf(name)
	if read == nil {
		msg.AppendHeader(sip.NewHeader(nameOf(name), value))
		return true
	}
	for isList {
		n := firstOf(value)
		if n == len(value) {
			break
		}
		msg.AppendHeader(read(value[:n]))
		value = value[n+1:]
	}
	h := read(value)
	if l, ok := h.(*sip.ContentLengthHeader); ok {
		*length = int(*l)
	}
	msg.AppendHeader(h)
	return true
}

// readerOf gives the reader of a header, in its full or compact form, and whether commas
// separate its values; nil: it is left as it came.
func readerOf(name []byte) (read func(string) sip.Header, isList bool) {
	if len(name) == 1 {
		switch name[0] | 0x20 {
		case 'v':
			return readVia, true
		case 'm':
			return readContact, true
		case 'f':
			return readFrom, false
		case 't':
			return readTo, false
		case 'i':
			return readCallID, false
		case 'l':
			return readContentLength, false
		case 'c':
			return readContentType, false
		}
		return nil, false
	}
	switch {
	case EqualFold(name, "via"):
		return readVia, true
	case EqualFold(name, "contact"):
		return readContact, true
	case EqualFold(name, "record-route"):
		return readRecordRoute, true
	case EqualFold(name, "from"):
		return readFrom, false
	case EqualFold(name, "to"):
		return readTo, false
	case EqualFold(name, "call-id"):
		return readCallID, false
	case EqualFold(name, "cseq"):
		return readCSeq, false
	case EqualFold(name, "max-forwards"):
		return readMaxForwards, false
	case EqualFold(name, "content-length"):
		return readContentLength, false
	case EqualFold(name, "content-type"):
		return readContentType, false
	}
	return nil, false
}

// nameOf is a header's name as text, which is not copied for those that most messages
// have.
func nameOf(name []byte) string {
	for _, known := range [...]string{
		"User-Agent", "Server", "Allow", "Supported", "Require", "Session-Expires", "Min-SE", "P-Asserted-Identity", "Privacy",
		"Diversion", "Accept", "Allow-Events", "Route", "Reason", "Date", "Content-Disposition", "RSeq", "RAck",
	} {
		if string(name) == known {
			return known
		}
	}
	return string(name)
}

// spoiled is a header that can't be read.
type spoiled struct {
	sip.Header        // as it came
	wrong      string // in the words of splitAddress
}

// SpoiledIn returns what is wrong with the first spoiled header of a message, "" if
// there is none.
func SpoiledIn(headers []sip.Header) string {
	for _, h := range headers {
		if s, ok := h.(*spoiled); ok {
			return s.Name() + " " + s.wrong
		}
	}
	return ""
}

func spoil(name, value, wrong string) sip.Header {
	return &spoiled{sip.NewHeader(name, Trim(value)), wrong}
}

func readVia(value string) sip.Header {
	v, ok := splitVia(value)
	port, sound := portNumber(v.port)
	if !ok || !sound {
		return sip.NewHeader("Via", Trim(value)) // not the topmost one, which Scan has checked
	}
	h := &sip.ViaHeader{
		ProtocolName: v.name, ProtocolVersion: v.version, Transport: v.transport, Host: v.host, Port: port,
		Params: make(sip.HeaderParams, 0, strings.Count(v.params, ";")+2), // with room for received and rport
	}
	for list := v.params; list != ""; {
		var key, val string
		if key, val, list = CutParam(list); key != "" {
			h.Params.Add(viaParam(key), bare(val))
		}
	}
	return h
}

// viaParam returns a Via parameter in the spelling that the library looks for.
func viaParam(key string) string {
	for _, known := range [...]string{"branch", "received", "rport", "maddr", "ttl"} {
		if EqualFold(key, known) {
			return known
		}
	}
	return key
}

// bare removes the quotes of a value that the library quotes again.
func bare(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' && strings.ContainsAny(value, " \t") {
		return value[1 : len(value)-1]
	}
	return value
}

// readAddress reads a From, To, Contact or Record-Route.
func readAddress(value string) (name string, uri sip.Uri, params sip.HeaderParams, wrong string) {
	a, wrong := splitAddress(value)
	if wrong != "" {
		return "", uri, nil, wrong
	}
	if err := sip.ParseUri(a.uri, &uri); err != nil {
		return "", uri, nil, "Has a Malformed URI"
	}
	if n := strings.Count(a.params, ";"); n > 0 {
		params = make(sip.HeaderParams, 0, n)
	}
	for list := a.params; list != ""; {
		var key, val string
		if key, val, list = CutParam(list); key != "" {
			if IsTag(key) {
				key = "tag" // in every case the same parameter, as for Scan
			}
			params.Add(key, bare(val))
		}
	}
	return a.name, uri, params, ""
}

// addressOr makes a reader of headers with an address; a header that can't be read is
// spoiled.
func addressOr(header string, build func(name string, uri sip.Uri, params sip.HeaderParams) sip.Header) func(string) sip.Header {
	return func(value string) sip.Header {
		name, uri, params, wrong := readAddress(value)
		if wrong != "" {
			return spoil(header, value, wrong)
		}
		return build(name, uri, params)
	}
}

var (
	readFrom = addressOr("From", func(name string, uri sip.Uri, params sip.HeaderParams) sip.Header {
		return &sip.FromHeader{DisplayName: name, Address: uri, Params: params}
	})
	readTo = addressOr("To", func(name string, uri sip.Uri, params sip.HeaderParams) sip.Header {
		return &sip.ToHeader{DisplayName: name, Address: uri, Params: params}
	})
	readOneContact = addressOr("Contact", func(name string, uri sip.Uri, params sip.HeaderParams) sip.Header {
		return &sip.ContactHeader{DisplayName: name, Address: uri, Params: params}
	})
	readRecordRoute = addressOr("Record-Route", func(_ string, uri sip.Uri, _ sip.HeaderParams) sip.Header {
		return &sip.RecordRouteHeader{Address: uri}
	})
)

func readContact(value string) sip.Header {
	if strings.TrimSpace(value) == "*" {
		return &sip.ContactHeader{Address: sip.Uri{Host: "*", Wildcard: true}}
	}
	return readOneContact(value)
}

func readCallID(value string) sip.Header {
	id := sip.CallIDHeader(value)
	return &id
}

func readCSeq(value string) sip.Header {
	number, method, wrong := splitCSeq(value)
	if wrong != "" {
		return spoil("CSeq", value, wrong)
	}
	n, _ := Decimal(number, maxCSeq)
	return &sip.CSeqHeader{SeqNo: uint32(n), MethodName: sip.RequestMethod(method)}
}

func readMaxForwards(value string) sip.Header {
	n, err := strconv.ParseUint(value, 10, 32)
	h := sip.MaxForwardsHeader(n)
	return spoiledIf(err != nil, &h, value)
}

func readContentLength(value string) sip.Header {
	n, err := strconv.ParseUint(value, 10, 32)
	h := sip.ContentLengthHeader(n)
	return spoiledIf(err != nil, &h, value)
}

// spoiledIf returns the header, spoiled if it is malformed.
func spoiledIf(malformed bool, h sip.Header, value string) sip.Header {
	if malformed {
		return spoil(h.Name(), value, "Is Malformed")
	}
	return h
}

// readContentType accepts any value: the reader of the body decides about it.
func readContentType(value string) sip.Header {
	h := sip.ContentTypeHeader(value)
	return &h
}

// RefreshesTarget reports whether requests of a method make a dialog or change its target
// (RFC 3261 section 12.2.1.1, RFC 3311, RFC 3515, RFC 6665).
func RefreshesTarget(m sip.RequestMethod) bool {
	return m == sip.INVITE || m == sip.SUBSCRIBE || m == sip.REFER || m == sip.UPDATE
}

// Malformed returns what keeps a request from being handled, "" if nothing does. Scan
// has checked all but Contact and Record-Route, which matter only if a dialog is made
// or its target changes (RFC 3261 section 8.2 ignores headers that are not needed).
func Malformed(req *sip.Request) string {
	switch spoiled := SpoiledIn(req.Headers()); {
	case spoiled != "" && RefreshesTarget(req.Method):
		return spoiled
	case req.From() == nil || TagOf(req.From().Params) == "":
		return "From with a tag is missing"
	case req.To() == nil:
		return "To is missing"
	case req.CallID() == nil:
		return "Call-ID is missing"
	case req.CSeq() == nil || req.CSeq().MethodName != req.Method:
		return "CSeq is missing or of another method"
	default:
		return ""
	}
}
