package message

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// NewParser returns the library's parser with readers that split headers as Scan does.
// A header that can't be read stays in the message as spoiled, and only code that needs
// the header refuses the message. The library's own readers would drop the message
// without an answer. Headers without a reader here are left as they came.
func NewParser() *sip.Parser {
	via, contact, recordRoute := listOf(readVia), listOf(readContact), listOf(readRecordRoute)
	from, to, callID, length, kind := one(readFrom), one(readTo), one(readCallID), one(readContentLength), one(readContentType)
	return sip.NewParser(sip.WithHeadersParsers(map[string]sip.HeaderParser{
		"via": via, "v": via, "contact": contact, "m": contact, "record-route": recordRoute,
		"from": from, "f": from, "to": to, "t": to, "call-id": callID, "i": callID,
		"cseq": one(readCSeq), "max-forwards": one(readMaxForwards),
		"content-length": length, "l": length, "content-type": kind, "c": kind,
	}))
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

// one makes a reader for the library of a header with one value.
func one(read func(value string) sip.Header) sip.HeaderParser {
	return func(_ []byte, value string) (sip.Header, error) { return read(value), nil }
}

// listOf makes a reader for the library of a header whose values commas separate.
func listOf(read func(value string) sip.Header) sip.HeaderParser {
	return func(_ []byte, value string) (sip.Header, error) {
		n := firstOf(value)
		if n == len(value) {
			return read(value), nil
		}
		return read(value[:n]), continueAfter(n)
	}
}

// continueAfter is the error that makes the library go on behind the comma at n.
func continueAfter(n int) error {
	v := reflect.New(commaError).Elem()
	v.SetInt(int64(n))
	err, _ := reflect.TypeAssert[error](v)
	return err
}

// commaError is the type of that error. The library does not export it, so it is
// taken from a value.
var commaError = func() reflect.Type {
	_, err := sip.DefaultHeadersParser()["contact"](nil, "sip:a@b,sip:c@d")
	return reflect.TypeOf(err)
}()

func readVia(value string) sip.Header {
	v, ok := splitVia(value)
	port, sound := portNumber(v.port)
	if !ok || !sound {
		return sip.NewHeader("Via", Trim(value)) // not the topmost one, which Scan has checked
	}
	h := &sip.ViaHeader{
		ProtocolName: v.name, ProtocolVersion: v.version, Transport: v.transport, Host: v.host, Port: port,
		Params: sip.NewParams(),
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
	for list := a.params; list != ""; {
		var key, val string
		if key, val, list = CutParam(list); key != "" {
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
