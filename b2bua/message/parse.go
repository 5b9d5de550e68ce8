package message

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// errUnreadable is the error of Parse.
var errUnreadable = errors.New("the message can't be read")

// Parse reads a message into the library's types, and splits headers as Scan does. A
// header that can't be read stays in the message as a badHeader, and only code that needs
// the header refuses the message. Headers without a reader here stay as they came. Parse
// does not keep text, but each part of the message keeps all its headers in memory; see
// Compact. It reads every message that Scan finds well-formed.
func Parse(text []byte) (sip.Message, error) {
	end := bytes.Index(text, headersEnd)
	if end < 0 {
		return nil, errUnreadable
	}
	line, rest, ok := nextLine(string(text[:end+len(headersEnd)]))
	if !ok {
		return nil, errUnreadable
	}
	p := parsing{length: -1}
	if !p.startLine(line) {
		return nil, errUnreadable
	}
	var room [maxUsual]sip.Header
	all := room[:0]
	for {
		if line, rest, ok = nextHeader(rest); !ok {
			return nil, errUnreadable
		}
		if line == "" {
			break
		}
		if all, ok = p.header(all, line); !ok {
			return nil, errUnreadable
		}
	}
	return p.message(all, text[end+len(headersEnd):])
}

var headersEnd = []byte("\r\n\r\n")

// nextLine splits text at its first CRLF.
func nextLine(text string) (line, rest string, ok bool) {
	i := strings.IndexByte(text, '\r')
	if i < 0 || i+1 >= len(text) || text[i+1] != '\n' {
		return "", "", false
	}
	return text[:i], text[i+2:], true
}

// nextHeader splits off a header line with its continuation lines (RFC 3261 section
// 7.3.1).
func nextHeader(text string) (line, rest string, ok bool) {
	if line, rest, ok = nextLine(text); !ok || len(line) == 0 || len(rest) == 0 || !isBlank(rest[0]) {
		return line, rest, ok
	}
	unfolded := []byte(strings.TrimRight(line, " \t"))
	for len(rest) > 0 && isBlank(rest[0]) {
		if line, rest, ok = nextLine(rest); !ok {
			return "", "", false
		}
		unfolded = append(append(unfolded, ' '), strings.Trim(line, " \t")...)
	}
	return string(unfolded), rest, true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// parsing is a message that is being read. The message and the usual headers share one
// allocation: a call has six messages, with some fifteen headers and parameters each.
type parsing struct {
	req    *sip.Request  // nil if it is a response
	res    *sip.Response // nil if it is a request
	usual  *usualHeaders
	taken  headerSet      // the headers of usual that are taken
	params []sip.HeaderKV // room for parameters
	length int            // Content-Length; -1 if none
}

// usualHeaders are the headers that nearly every message has once, with their parameters. Together with a request they
// just fit into the allocator's size class of 1,152 bytes, with a response into 1,024. No leg has these sizes, so
// garbage from messages does not lie between the legs of held calls.
type usualHeaders struct {
	via         sip.ViaHeader
	from        sip.FromHeader
	to          sip.ToHeader
	cseq        sip.CSeqHeader
	callID      sip.CallIDHeader
	length      sip.ContentLengthHeader
	maxForwards sip.MaxForwardsHeader
	params      [commonParams]sip.HeaderKV
}

// startLine creates the message from its start line. The case of the version does not matter.
func (p *parsing) startLine(line string) bool {
	first, after, _ := strings.Cut(line, " ")
	second, third, found := strings.Cut(after, " ")
	switch {
	case strings.EqualFold(first, version):
		code, err := strconv.ParseUint(second, 10, 16)
		whole := &struct {
			sip.Response
			usualHeaders
		}{}
		p.res, p.usual, p.params = &whole.Response, &whole.usualHeaders, whole.params[:]
		p.res.StatusCode, p.res.Reason, p.res.SipVersion = int(code), third, version
		return err == nil
	case !found:
		return false
	}
	whole := &struct {
		sip.Request
		usualHeaders
	}{}
	p.req, p.usual, p.params = &whole.Request, &whole.usualHeaders, whole.params[:]
	p.req.Method, p.req.SipVersion = methodOf(first), version
	err := sip.ParseUri(second, &p.req.Recipient)
	return err == nil && !p.req.Recipient.Wildcard && strings.EqualFold(third, version)
}

// methodOf returns a method as a string that does not hold its message in memory.
func methodOf(name string) sip.RequestMethod {
	for _, m := range [...]sip.RequestMethod{
		sip.INVITE, sip.ACK, sip.BYE, sip.CANCEL, sip.OPTIONS, sip.PRACK, sip.UPDATE, sip.INFO, sip.REFER,
		sip.NOTIFY, sip.MESSAGE,
	} {
		if name == string(m) {
			return m
		}
	}
	return sip.RequestMethod(strings.Clone(name))
}

// message returns the finished message, with its body.
func (p *parsing) message(all []sip.Header, rest []byte) (sip.Message, error) {
	if p.length < 0 {
		p.length = len(rest)
	}
	if p.length > len(rest) {
		return nil, errUnreadable
	}
	var msg sip.Message = p.req
	if p.req != nil {
		setHeaders(&p.req.MessageData, all)
	} else {
		setHeaders(&p.res.MessageData, all)
		msg = p.res
	}
	if p.length > 0 {
		msg.SetBody(bytes.Clone(rest[:p.length]))
	}
	return msg, nil
}

// header adds a header line to all.
func (p *parsing) header(all []sip.Header, line string) (more []sip.Header, ok bool) {
	name, value, found := strings.Cut(line, ":")
	if !found {
		return nil, false
	}
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	kind := headerKindOf(name)
	for kind == kindVia || kind == kindContact || kind == kindRecordRoute { // lists
		n := firstOf(value)
		if n == len(value) {
			break
		}
		all = append(all, p.read(kind, name, value[:n]))
		value = value[n+1:]
	}
	return append(all, p.read(kind, name, value)), true
}

// read reads a header. A header without a reader stays as it came.
func (p *parsing) read(kind headerKind, name, value string) sip.Header {
	switch kind {
	case kindVia:
		return p.readVia(value)
	case kindFrom:
		h := p.from()
		return p.readAddress("From", value, h, &h.DisplayName, &h.Address, &h.Params)
	case kindTo:
		h := p.to()
		return p.readAddress("To", value, h, &h.DisplayName, &h.Address, &h.Params)
	case kindContact:
		if strings.TrimSpace(value) == "*" {
			return &sip.ContactHeader{Address: sip.Uri{Host: "*", Wildcard: true}}
		}
		h := &sip.ContactHeader{}
		return p.readAddress("Contact", value, h, &h.DisplayName, &h.Address, &h.Params)
	case kindRecordRoute:
		return readRecordRoute(value)
	case kindCallID:
		return p.readCallID(value)
	case kindCSeq:
		return p.readCSeq(value)
	case kindMaxForwards:
		return p.readMaxForwards(value)
	case kindContentLength:
		return p.readContentLength(value)
	case kindContentType:
		return readContentType(value)
	case kindOther, kindAuthorization:
	}
	return sip.NewHeader(name, value)
}

// isFirst reports whether a header is the first of its kind; usual has room for that one.
func (p *parsing) isFirst(kind headerKind) bool {
	first := p.taken&setOf(kind) == 0
	p.taken |= setOf(kind)
	return first
}

// badHeader is a header that can't be read.
type badHeader struct {
	sip.Header        // as it came
	wrong      string // in the words of splitAddress
}

// BadHeaderIn returns what is wrong with the first bad header of a message, or "" if
// there is none.
func BadHeaderIn(headers []sip.Header) string {
	for _, h := range headers {
		if s, ok := h.(*badHeader); ok {
			return s.Name() + " " + s.wrong
		}
	}
	return ""
}

func markBad(name, value, wrong string) sip.Header {
	return &badHeader{sip.NewHeader(name, Trim(value)), wrong}
}

// RefreshesTarget reports whether requests with a method make a dialog or change its
// target (RFC 3261 section 12.2.1.1, RFC 3311, RFC 3515, RFC 6665).
func RefreshesTarget(m sip.RequestMethod) bool {
	return m == sip.INVITE || m == sip.SUBSCRIBE || m == sip.REFER || m == sip.UPDATE
}

// Malformed returns what keeps a request from being handled, or "" if nothing does. Scan
// has checked all but Contact and Record-Route, which matter only if a dialog is made or
// its target changes (RFC 3261 section 8.2 ignores headers that are not needed).
func Malformed(req *sip.Request) string {
	switch wrong := BadHeaderIn(req.Headers()); {
	case wrong != "" && RefreshesTarget(req.Method):
		return wrong
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
