package message

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// NewParser gives the library's parser with readers that take headers apart
// as the guard does. A header that can't be read does not cost the message:
// it stays in it as spoiled, for whom it matters to. The library's own readers
// drop the message, without an answer. What we don't read is left as it came.
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
	wrong      string // as splitAddress says it
}

// SpoiledIn says what is wrong with the first spoiled header of a message,
// empty if it has none.
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

// one is a reader for the library of a header that has one value.
func one(read func(value string) sip.Header) sip.HeaderParser {
	return func(_ []byte, value string) (sip.Header, error) { return read(value), nil }
}

// listOf is a reader for the library of a header whose values commas separate.
func listOf(read func(value string) sip.Header) sip.HeaderParser {
	return func(_ []byte, value string) (sip.Header, error) {
		n := firstOf(value)
		if n == len(value) {
			return read(value), nil
		}
		return read(value[:n]), continueAfter(n)
	}
}

// continueAfter is the error by which a reader has the library go on behind
// the comma at n.
func continueAfter(n int) error {
	v := reflect.New(commaError).Elem()
	v.SetInt(int64(n))
	err, _ := reflect.TypeAssert[error](v)
	return err
}

// commaError is the type of that error. It is the library's secret, so it is
// taken from there.
var commaError = func() reflect.Type {
	_, err := sip.DefaultHeadersParser()["contact"](nil, "sip:a@b,sip:c@d")
	return reflect.TypeOf(err)
}()

func readVia(value string) sip.Header {
	v, ok := splitVia(value)
	port, sound := portNumber(v.port)
	if !ok || !sound {
		return sip.NewHeader("Via", Trim(value)) // not the topmost, that has passed the guard
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

// viaParam gives a parameter that the library looks for its spelling.
func viaParam(key string) string {
	for _, known := range [...]string{"branch", "received", "rport", "maddr", "ttl"} {
		if EqualFold(key, known) {
			return known
		}
	}
	return key
}

// bare takes the quotes from a value that the library puts into quotes again.
func bare(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' && strings.ContainsAny(value, " \t") {
		return value[1 : len(value)-1]
	}
	return value
}

// readAddress reads a From, To, Contact or Record-Route.
func readAddress(value string) (name string, uri sip.Uri, params sip.HeaderParams, wrong string) {
	a, wrong := SplitAddress(value)
	if wrong != "" {
		return "", uri, nil, wrong
	}
	if err := sip.ParseUri(a.Uri, &uri); err != nil {
		return "", uri, nil, "Has a Malformed URI"
	}
	for list := a.Params; list != ""; {
		var key, val string
		if key, val, list = CutParam(list); key != "" {
			params.Add(key, bare(val))
		}
	}
	return a.Name, uri, params, ""
}

func readFrom(value string) sip.Header {
	name, uri, params, wrong := readAddress(value)
	if wrong != "" {
		return spoil("From", value, wrong)
	}
	return &sip.FromHeader{DisplayName: name, Address: uri, Params: params}
}

func readTo(value string) sip.Header {
	name, uri, params, wrong := readAddress(value)
	if wrong != "" {
		return spoil("To", value, wrong)
	}
	return &sip.ToHeader{DisplayName: name, Address: uri, Params: params}
}

func readContact(value string) sip.Header {
	if strings.TrimSpace(value) == "*" {
		return &sip.ContactHeader{Address: sip.Uri{Host: "*", Wildcard: true}}
	}
	name, uri, params, wrong := readAddress(value)
	if wrong != "" {
		return spoil("Contact", value, wrong)
	}
	return &sip.ContactHeader{DisplayName: name, Address: uri, Params: params}
}

func readRecordRoute(value string) sip.Header {
	_, uri, _, wrong := readAddress(value)
	if wrong != "" {
		return spoil("Record-Route", value, wrong)
	}
	return &sip.RecordRouteHeader{Address: uri}
}

func readCallID(value string) sip.Header {
	id := sip.CallIDHeader(value)
	return &id
}

func readCSeq(value string) sip.Header {
	number, method, wrong := SplitCSeq(value)
	if wrong != "" {
		return spoil("CSeq", value, wrong)
	}
	n, _ := Decimal(number, maxCSeq)
	return &sip.CSeqHeader{SeqNo: uint32(n), MethodName: sip.RequestMethod(method)}
}

func readMaxForwards(value string) sip.Header {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return spoil("Max-Forwards", value, "Is Malformed")
	}
	h := sip.MaxForwardsHeader(n)
	return &h
}

func readContentLength(value string) sip.Header {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return spoil("Content-Length", value, "Is Malformed")
	}
	h := sip.ContentLengthHeader(n)
	return &h
}

// readContentType takes what comes: whether a body can be used is decided
// where it is.
func readContentType(value string) sip.Header {
	h := sip.ContentTypeHeader(value)
	return &h
}
