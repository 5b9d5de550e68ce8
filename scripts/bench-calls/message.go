package main

import (
	"bytes"
	"slices"
	"strconv"
)

// message is a SIP message, as far as the two ends of a call look into one. Its
// slices are parts of the datagram.
type message struct {
	method []byte // of a request, or of the CSeq of an answer
	status int    // 0: a request
	via    []byte // all Via lines with their ends
	routes [][]byte
	from   []byte // lines without their ends
	to     []byte
	callID []byte // value
	cseq   []byte // line
	target []byte // URI of the Contact
}

// parse reads a message that Flowbridge, Kamailio or we wrote: long names of
// headers, no folded lines. ok is false for anything else.
func (m *message) parse(b []byte) (ok bool) {
	*m = message{routes: m.routes[:0]}
	line, rest, ok := bytes.Cut(b, crlf)
	if !ok {
		return false
	}
	if after, answer := bytes.CutPrefix(line, []byte("SIP/2.0 ")); answer {
		if len(after) < 3 {
			return false
		}
		if m.status, _ = strconv.Atoi(string(after[:3])); m.status < 100 {
			return false
		}
	} else {
		m.method, _, _ = bytes.Cut(line, space)
	}
	for {
		line, rest, ok = bytes.Cut(rest, crlf)
		if !ok || len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, colon)
		m.header(name, bytes.TrimSpace(value), line, b[len(b)-len(rest)-len(line)-2:])
	}
	return m.callID != nil && m.cseq != nil && m.to != nil && m.from != nil && m.via != nil
}

var crlf, space, colon = []byte("\r\n"), []byte(" "), []byte(":")

// header notes a header. from is the message from this line on.
func (m *message) header(name, value, line, from []byte) {
	switch len(name) {
	case 2:
		if equal(name, "to") {
			m.to = line
		}
	case 3:
		if equal(name, "via") {
			m.via = append(slices.Clip(m.via), from[:len(line)+2]...)
		}
	case 4:
		if equal(name, "from") {
			m.from = line
		} else if equal(name, "cseq") {
			m.cseq = line
			if m.status != 0 {
				m.method = value[bytes.LastIndexByte(value, ' ')+1:]
			}
		}
	case 7:
		if equal(name, "call-id") {
			m.callID = value
		} else if equal(name, "contact") {
			m.target = uri(value)
		}
	case 12:
		if equal(name, "record-route") {
			m.routes = append(m.routes, value)
		}
	}
}

func equal(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}

// uri is the URI of a name-addr or an addr-spec.
func uri(value []byte) []byte {
	if _, after, ok := bytes.Cut(value, []byte("<")); ok {
		before, _, _ := bytes.Cut(after, []byte(">"))
		return before
	}
	before, _, _ := bytes.Cut(value, []byte(";"))
	return before
}

// answer is an answer to a request. tag is added to its To if that has none.
// more is headers and the body, after an empty line.
func (m *message) answer(status, tag, more string) []byte {
	b := make([]byte, 0, 1000)
	b = append(append(append(b, "SIP/2.0 "...), status...), crlf...)
	b = append(b, m.via...)
	for _, r := range m.routes {
		b = append(append(append(b, "Record-Route: "...), r...), crlf...)
	}
	b = append(append(b, m.from...), crlf...)
	b = append(b, m.to...)
	if tag != "" && !bytes.Contains(m.to, []byte(";tag=")) {
		b = append(append(b, ";tag="...), tag...)
	}
	b = append(append(append(b, "\r\nCall-ID: "...), m.callID...), crlf...)
	b = append(append(b, m.cseq...), crlf...)
	return append(b, more...)
}

// description is an offer, or an answer that takes it: G.711 and telephone
// events, as scripts/sipp has it.
func description(host string, port int) string {
	return "v=0\r\no=load 1 1 IN IP4 " + host + "\r\ns=-\r\nc=IN IP4 " + host + "\r\nt=0 0\r\n" +
		"m=audio " + strconv.Itoa(port) + " RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
}

// withBody is the end of a message with a description.
func withBody(headers, body string) string {
	return headers + "Content-Type: application/sdp\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

const noBody = "Content-Length: 0\r\n\r\n"

// anchored says whether the audio of a message's description goes through one of a system's addresses.
func anchored(b []byte, media []string) bool {
	_, rest, _ := bytes.Cut(b, []byte("\r\nc=IN IP4 "))
	host, _, _ := bytes.Cut(rest, crlf)
	return slices.Contains(media, string(host))
}
