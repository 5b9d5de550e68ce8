package calltest

import (
	"fmt"
	"strconv"
	"strings"
)

// This file reads and writes messages for the call model. It has a small parser of its own,
// so that the model does not depend on the code that it tests.

// wireMsg is a message that the model has parsed.
type wireMsg struct {
	raw, start      string
	method          string // for a response, the method in CSeq
	code            int    // 0 for a request
	seq             int
	callID, branch  string
	fromTag, toTag  string
	headers         map[string][]string // by name in lower case
	body, sdp       string
	fromLine, toVal string
}

func parseWire(raw string) (m wireMsg, err error) {
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		return m, fmt.Errorf("no end of headers")
	}
	lines := strings.Split(head, "\r\n")
	m = wireMsg{raw: raw, start: lines[0], headers: map[string][]string{}, body: body}
	for _, l := range lines[1:] {
		name, value, ok := strings.Cut(l, ":")
		if !ok {
			return m, fmt.Errorf("header line %q", l)
		}
		name = strings.ToLower(strings.TrimSpace(name))
		m.headers[name] = append(m.headers[name], strings.TrimSpace(value))
	}
	for _, name := range []string{"via", "from", "to", "call-id", "cseq", "content-length"} {
		if m.get(name) == "" {
			return m, fmt.Errorf("no %s", name)
		}
	}
	if n, err := strconv.Atoi(m.get("content-length")); err != nil || n != len(body) {
		return m, fmt.Errorf("content-length %s of a body of %d", m.get("content-length"), len(body))
	}
	seq, method, _ := strings.Cut(m.get("cseq"), " ")
	if m.seq, err = strconv.Atoi(seq); err != nil {
		return m, err
	}
	m.method = method
	if rest, ok := strings.CutPrefix(m.start, "SIP/2.0 "); ok {
		if m.code, err = strconv.Atoi(rest[:3]); err != nil {
			return m, err
		}
	} else if !strings.HasPrefix(m.start, method+" ") {
		return m, fmt.Errorf("CSeq of another method")
	}
	m.callID, m.branch = m.get("call-id"), paramIn(m.get("via"), "branch")
	m.fromLine, m.toVal = m.get("from"), m.get("to")
	m.fromTag, m.toTag = paramIn(m.fromLine, "tag"), paramIn(m.toVal, "tag")
	if strings.HasPrefix(m.get("content-type"), "application/sdp") {
		m.sdp = body
	}
	return m, nil
}

func (m wireMsg) get(name string) string {
	if v := m.headers[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (m wireMsg) has(header, option string) bool {
	return strings.Contains(strings.Join(m.headers[header], ","), option)
}

// short returns a line about a message for the trace.
func (m wireMsg) short() string {
	s := m.start
	if m.code == 0 {
		s = m.method + " " + strings.Fields(m.start)[1]
	}
	s += fmt.Sprintf(" [%d %s", m.seq, m.method)
	for _, name := range []string{"rseq", "rack", "require", "session-expires", "retry-after", "refer-to", "subscription-state"} {
		if v := m.get(name); v != "" {
			s += " " + name + "=" + v
		}
	}
	if m.sdp != "" {
		v, _ := originVersion(m.sdp)
		s += " sdp/" + v
		if _, stream, ok := strings.Cut(m.sdp, "m=audio "); ok { // port, protocol, formats
			line, _, _ := strings.Cut(stream, "\r\n")
			s += " (" + line + ")"
		}
	}
	return s + "] from=" + last(m.fromTag, 6) + " to=" + last(m.toTag, 6) + " call=" + last(m.callID, 6) + " branch=" + last(m.branch, 6)
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// paramIn returns a parameter of a header's value.
func paramIn(value, name string) string {
	if i := strings.LastIndex(value, ">"); i >= 0 {
		value = value[i:]
	}
	for p := range strings.SplitSeq(value, ";") {
		if k, v, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(k), name) {
			return v
		}
	}
	return ""
}

// originVersion returns the version in a description's o= line, and the rest of the
// description.
func originVersion(sdp string) (version, rest string) {
	for line := range strings.SplitSeq(sdp, "\r\n") {
		if f := strings.Fields(line); strings.HasPrefix(line, "o=") && len(f) == 6 {
			version = f[2]
			f[2] = "-"
			line = strings.Join(f, " ")
		}
		rest += line + "\n"
	}
	return version, rest
}

// sdpKinds are the kinds of session descriptions that the model's peers send.
var sdpKinds = []string{"plain", "hold", "inactive", "0.0.0.0", "pcma", "moved", "video", "g729", "broken", "declined"}

func modelSDP(host string, port, version int, kind string) string {
	formats, dir, conn, more := "0 8 101", "sendrecv", host, ""
	switch kind {
	case "hold":
		dir = "sendonly"
	case "inactive":
		dir = "inactive"
	case "0.0.0.0":
		conn = "0.0.0.0"
	case "pcma":
		formats = "8 101"
	case "moved":
		port += 100 + 2*version
	case "video":
		more = fmt.Sprintf("m=video %d RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", port+4)
	case "g729":
		formats = "18"
	case "declined":
		port = 0
	case "broken":
		return "v=0\r\nthis is no session\r\n"
	}
	events := ""
	if strings.Contains(formats, "101") {
		events = "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
	}
	return fmt.Sprintf("v=0\r\no=peer 1 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP %s\r\n%sa=%s\r\n%s",
		version, host, conn, port, formats, events, dir, more)
}
