// Package sip provides the two ends of calls for loads: user agents, and the text of their messages.
package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Message is a SIP message as text.
type Message string

// Start returns the first line.
func (m Message) Start() string {
	line, _, _ := strings.Cut(string(m), "\r\n")
	return line
}

// Header returns the value of a header's first line.
func (m Message) Header(name string) string {
	for line := range strings.SplitSeq(string(m), "\r\n") {
		if is(line, name) {
			return strings.TrimSpace(line[len(name)+1:])
		}
		if line == "" {
			break
		}
	}
	return ""
}

// is reports whether a line has a header with this name.
func is(line, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(line[:len(name)], name)
}

// Lines returns all lines of some headers, in order.
func (m Message) Lines(names ...string) string {
	var all strings.Builder
	for line := range strings.SplitSeq(string(m), "\r\n") {
		for _, name := range names {
			if is(line, name) {
				all.WriteString(line + "\r\n")
			}
		}
		if line == "" {
			break
		}
	}
	return all.String()
}

// Body returns the part after the headers.
func (m Message) Body() string {
	_, body, _ := strings.Cut(string(m), "\r\n\r\n")
	return body
}

// Tag returns the tag of From or To, or "" if it has none.
func (m Message) Tag(header string) string {
	return between(m.Header(header), ";tag=", ";")
}

// between returns the part of a text from the first occurrence of from up to the next to, or "" if from does not occur.
func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	part, _, _ := strings.Cut(rest, to)
	return part
}

// Branch returns the branch of the topmost Via.
func (m Message) Branch() string {
	return between(m.Header("Via"), "branch=", ";")
}

// Status returns the status of an answer, or 0 for a request.
func (m Message) Status() int {
	text, answer := strings.CutPrefix(m.Start(), "SIP/2.0 ")
	text, _, _ = strings.Cut(text, " ")
	n, err := strconv.Atoi(text)
	if !answer || err != nil {
		return 0
	}
	return n
}

// Number returns the number in CSeq.
func (m Message) Number() int {
	text, _, _ := strings.Cut(m.Header("CSeq"), " ")
	n, _ := strconv.Atoi(text)
	return n
}

// Method returns the method in CSeq.
func (m Message) Method() string {
	_, method, _ := strings.Cut(m.Header("CSeq"), " ")
	return strings.TrimSpace(method)
}

// Contact returns the URI in Contact.
func (m Message) Contact() string {
	return between(m.Header("Contact"), "<", ">")
}

// Answer returns an answer to a request. tag is added to a To without one. more has the rest of the headers and the
// body.
func (m Message) Answer(status, tag, more string) string {
	to := m.Header("To")
	if m.Tag("To") == "" && !strings.HasPrefix(status, "100") {
		to += ";tag=" + tag
	}
	return "SIP/2.0 " + status + "\r\n" + m.Lines("Via", "Record-Route", "From", "Call-ID", "CSeq") +
		"To: " + to + "\r\n" + more
}

// Media returns the address in the only c= and m= lines of a session description, or the zero value if there is none.
func Media(description string) netip.AddrPort {
	at, _ := netip.ParseAddrPort(Host(description) + ":" + between(description, "\nm=audio ", " "))
	return at
}

// Host returns the address in the only c= line of a session description.
func Host(description string) string { return between(description, "\nc=IN IP4 ", "\r\n") }

// Description returns a session description with PCMU at an address.
func Description(a netip.AddrPort) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]v\r\ns=-\r\nc=IN IP4 %[1]v\r\nt=0 0\r\n"+
		"m=audio %[2]d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", a.Addr(), a.Port())
}

// WithBody ends a message's headers and adds the body.
func WithBody(sdp string) string {
	if sdp == "" {
		return "Content-Length: 0\r\n\r\n"
	}
	return fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp)
}
