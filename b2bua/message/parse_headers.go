package message

import (
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// This file reads single headers.

func (p *parsing) from() *sip.FromHeader {
	if p.isFirst(kindFrom) {
		return &p.usual.from
	}
	return &sip.FromHeader{}
}

func (p *parsing) to() *sip.ToHeader {
	if p.isFirst(kindTo) {
		return &p.usual.to
	}
	return &sip.ToHeader{}
}

func (p *parsing) readVia(value string) sip.Header {
	v, ok := splitVia(value)
	port, sound := v.portNumber()
	if !ok || !sound {
		return sip.NewHeader("Via", Trim(value)) // never the topmost Via, which Scan has checked
	}
	h := &p.usual.via
	if !p.isFirst(kindVia) {
		h = &sip.ViaHeader{}
	}
	h.ProtocolName, h.ProtocolVersion, h.Transport, h.Host, h.Port = v.name, v.version, v.transport, v.host, port
	h.Params = p.room(strings.Count(v.params, ";") + 1)
	for list := v.params; list != ""; {
		var key, val string
		if key, val, list = CutParam(list); key != "" {
			h.Params.Add(viaParam(key), bare(val))
		}
	}
	return h
}

// commonParams is the number of parameters in Via, From and To that a message usually
// has.
const commonParams = 4

// room returns memory for n parameters.
func (p *parsing) room(n int) sip.HeaderParams {
	if n > len(p.params) {
		p.params = make([]sip.HeaderKV, n)
	}
	room := p.params[:0:n]
	p.params = p.params[n:]
	return room
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

// bare removes the quotes of a value, because the library adds them again.
func bare(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' && strings.ContainsAny(value, " \t") {
		return value[1 : len(value)-1]
	}
	return value
}

// readAddress reads a From, To or Contact into h; name, uri and the parameters point into
// h. An unreadable header becomes a badHeader.
func (p *parsing) readAddress(header, value string, h sip.Header, name *string, uri *sip.Uri,
	params *sip.HeaderParams,
) sip.Header {
	a, wrong := splitAddress(value)
	if wrong != "" {
		return markBad(header, value, wrong)
	}
	if err := sip.ParseUri(a.uri, uri); err != nil {
		return markBad(header, value, "Has a Malformed URI")
	}
	*name = a.name
	n := strings.Count(a.params, ";")
	if header == "To" && p.req != nil && n == 0 {
		n = 1 // room for our tag (RFC 3261 section 8.2.6.2)
	}
	if n > 0 {
		*params = p.room(n)
	}
	for list := a.params; list != ""; {
		var key, val string
		if key, val, list = CutParam(list); key != "" {
			if isTag(key) {
				key = "tag" // the same parameter in any case, as in Scan
			}
			params.Add(key, bare(val))
		}
	}
	return h
}

func readRecordRoute(value string) sip.Header {
	a, wrong := splitAddress(value)
	if wrong != "" {
		return markBad("Record-Route", value, wrong)
	}
	h := &sip.RecordRouteHeader{}
	if err := sip.ParseUri(a.uri, &h.Address); err != nil {
		return markBad("Record-Route", value, "Has a Malformed URI")
	}
	return h
}

func (p *parsing) readCallID(value string) sip.Header {
	h := &p.usual.callID
	if !p.isFirst(kindCallID) {
		h = new(sip.CallIDHeader)
	}
	*h = sip.CallIDHeader(value)
	return h
}

func (p *parsing) readCSeq(value string) sip.Header {
	number, method, wrong := splitCSeq(value)
	if wrong != "" {
		return markBad("CSeq", value, wrong)
	}
	h := &p.usual.cseq
	if !p.isFirst(kindCSeq) {
		h = &sip.CSeqHeader{}
	}
	n, _ := Decimal(number, maxCSeq)
	h.SeqNo, h.MethodName = uint32(n), methodOf(method)
	return h
}

func (p *parsing) readMaxForwards(value string) sip.Header {
	h := &p.usual.maxForwards
	if !p.isFirst(kindMaxForwards) {
		h = new(sip.MaxForwardsHeader)
	}
	n, err := strconv.ParseUint(value, 10, 32)
	*h = sip.MaxForwardsHeader(n)
	return badHeaderIf(err != nil, h, value)
}

func (p *parsing) readContentLength(value string) sip.Header {
	h := &p.usual.length
	if !p.isFirst(kindContentLength) {
		h = new(sip.ContentLengthHeader)
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if *h = sip.ContentLengthHeader(n); err == nil {
		p.length = int(n)
	}
	return badHeaderIf(err != nil, h, value)
}

// badHeaderIf returns h, or a badHeader if the header is malformed.
func badHeaderIf(malformed bool, h sip.Header, value string) sip.Header {
	if malformed {
		return markBad(h.Name(), value, "Is Malformed")
	}
	return h
}

// readContentType accepts any value: the code that reads the body decides about it.
func readContentType(value string) sip.Header {
	h := sip.ContentTypeHeader(value)
	return &h
}
