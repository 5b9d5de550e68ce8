// Package sip has the text of SIP messages, as far as the two ends of a call look into it and write it.
package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Message is a SIP message as text.
type Message string

// Start is the first line.
func (m Message) Start() string {
	line, _, _ := strings.Cut(string(m), "\r\n")
	return line
}

// Header gives the value of a header's first line.
func (m Message) Header(name string) string {
	for line := range strings.SplitSeq(string(m), "\r\n") {
		n, v, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
		if line == "" {
			break
		}
	}
	return ""
}

// Lines gives all lines of some headers, in their order.
func (m Message) Lines(names ...string) string {
	var all strings.Builder
	for line := range strings.SplitSeq(string(m), "\r\n") {
		n, _, _ := strings.Cut(line, ":")
		for _, name := range names {
			if strings.EqualFold(n, name) {
				all.WriteString(line + "\r\n")
			}
		}
		if line == "" {
			break
		}
	}
	return all.String()
}

// Body is what follows the headers.
func (m Message) Body() string {
	_, body, _ := strings.Cut(string(m), "\r\n\r\n")
	return body
}

// Tag is that of From or To; empty: it has none.
func (m Message) Tag(header string) string {
	_, tag, _ := strings.Cut(m.Header(header), ";tag=")
	tag, _, _ = strings.Cut(tag, ";")
	return tag
}

// Branch is that of the topmost Via.
func (m Message) Branch() string {
	_, branch, _ := strings.Cut(m.Header("Via"), "branch=")
	branch, _, _ = strings.Cut(branch, ";")
	return branch
}

// MediaPort is the port of the first m= line; 0: there is none.
func (m Message) MediaPort() uint16 {
	_, rest, _ := strings.Cut(m.Body(), "m=audio ")
	text, _, _ := strings.Cut(rest, " ")
	port, _ := strconv.ParseUint(text, 10, 16)
	return uint16(port)
}

// Is says whether a message is a response with this status, or a request of this method.
func (m Message) Is(what string) bool {
	return strings.HasPrefix(string(m), what+" ") || strings.HasPrefix(string(m), "SIP/2.0 "+what)
}

// Description is a session description of PCMU at an address.
func Description(a netip.AddrPort) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %v\r\ns=-\r\nc=IN IP4 %v\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", a.Addr(), a.Addr(), a.Port())
}

// WithBody ends a message's headers.
func WithBody(sdp string) string {
	if sdp == "" {
		return "Content-Length: 0\r\n\r\n"
	}
	return fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp)
}
