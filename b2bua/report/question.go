package report

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/config/template"
)

// Question describes a call that explain is asked about.
type Question struct {
	From    string     // number, SIP URI or From value of the caller
	To      string     // called number or URI
	Headers []string   // additional header lines of its INVITE, "Name: value"
	Trunk   string     // the trunk that it comes from; empty means the trunk of Source
	Target  string     // the target that places it, instead of a trunk
	Source  netip.Addr // source address of the call; zero means one of the trunk's
	At      time.Time  // time of the call; zero means now
}

// ErrQuestion means that a question makes no sense.
var ErrQuestion = errors.New("not a call")

// Invite returns the INVITE of the question as it comes from an address over a transport,
// config.Transport…; empty means udp. It offers every configured codec. ours is our
// address.
func (q *Question) Invite(cfg *config.Config, transport string, source netip.AddrPort,
	ours netip.Addr,
) ([]byte, error) {
	host := hostOf(source.Addr())
	to, err := calledURI(q.To, hostOf(ours))
	if err != nil {
		return nil, err
	}
	from, err := callerValue(q.From, host)
	if err != nil {
		return nil, err
	}
	extra, hops, err := questionHeaders(q.Headers)
	if err != nil {
		return nil, err
	}
	body := SampleOffer(cfg, source.Addr())
	at := host + ":" + strconv.Itoa(int(source.Port()))
	return []byte("INVITE " + to + " SIP/2.0\r\n" +
		"Via: SIP/2.0/" + message.ViaTransport(transport) + " " + at + ";branch=z9hG4bKexplain\r\n" + hops +
		"From: " + from + ";tag=explain\r\nTo: <" + to + ">\r\nCall-ID: explain@" + host + "\r\nCSeq: 1 INVITE\r\n" +
		"Contact: <sip:" + at + ">\r\n" + extra +
		"Content-Type: application/sdp\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body), nil
}

func hostOf(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// calledURI returns a number, or a URI, as a Request-URI.
func calledURI(to, host string) (string, error) {
	if to == "" || strings.ContainsFunc(to,
		func(r rune) bool { return template.IsControl(r) || strings.ContainsRune(" <>\"", r) }) {
		return "", fmt.Errorf("%w: %q can't be called: write a number or a SIP URI", ErrQuestion, to)
	}
	if hasScheme(to) {
		return to, nil
	}
	return "sip:" + message.EscapeUser(to) + "@" + net.JoinHostPort(message.TrimBrackets(host), "5060"), nil
}

// callerValue returns a number, a URI or a name-addr as the value of From.
func callerValue(from, host string) (string, error) {
	switch {
	case from == "" || strings.ContainsFunc(from, template.IsControl):
		return "", fmt.Errorf("%w: %q can't call: write a number, a SIP URI or a From value", ErrQuestion, from)
	case strings.Contains(from, "<"):
		return from, nil
	case hasScheme(from):
		return "<" + from + ">", nil
	default:
		return "<sip:" + message.EscapeUser(from) + "@" + host + ">", nil
	}
}

func hasScheme(s string) bool {
	scheme, _, _ := strings.Cut(strings.ToLower(s), ":")
	return scheme == "sip" || scheme == "sips" || scheme == "tel"
}

// questionHeaders returns the question's header lines as text, and Max-Forwards apart.
// The screen finds their faults, so it checks only for faults that would change other
// headers.
func questionHeaders(lines []string) (text, hops string, err error) {
	hops = "Max-Forwards: 70\r\n"
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch lower := strings.ToLower(name); {
		case !ok || name == "" || strings.ContainsFunc(name, template.IsControl) ||
			strings.ContainsFunc(value, func(r rune) bool { return template.IsControl(r) && r != '\t' }):
			return "", "", fmt.Errorf("%w: header %q: write it like 'X-Name: value'", ErrQuestion, line)
		case slices.Contains([]string{
			"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m",
			"content-type", "c", "content-length", "l",
		}, lower):
			return "", "", fmt.Errorf("%w: header %s is made from the numbers and can't be given", ErrQuestion, name)
		case lower == "max-forwards":
			hops = name + ": " + value + "\r\n"
		default:
			text += name + ": " + value + "\r\n"
		}
	}
	return text, hops, nil
}

// SampleOffer offers every codec that a target, or a trunk that is called, may
// use.
func SampleOffer(cfg *config.Config, at netip.Addr) string {
	types := map[string]int{"PCMU": 0, "GSM": 3, "PCMA": 8, "G722": 9, "G729": 18}
	var formats, maps []string
	seen := map[string]bool{}
	next := 96
	add := func(name, fmtp string) {
		name = strings.ToUpper(name)
		if seen[name] {
			return
		}
		seen[name] = true
		pt, static := types[name]
		if !static {
			pt = next
			if next++; next == 101 { // usually the number of telephone-event
				next++
			}
		}
		if sdp.IsEvents(name) {
			name, pt = "telephone-event", 101
		}
		clock := "/8000"
		if name == "OPUS" {
			name, clock = "opus", "/48000/2"
		}
		formats = append(formats, strconv.Itoa(pt))
		maps = append(maps, fmt.Sprintf("a=rtpmap:%d %s%s\r\n", pt, name, clock)+fmtp)
	}
	for _, t := range cfg.Targets {
		for _, name := range t.Codecs {
			if !sdp.IsEvents(name) {
				add(name, "")
			}
		}
	}
	for _, t := range cfg.Trunks {
		for _, name := range t.Codecs {
			if t.URI != nil && !sdp.IsEvents(name) {
				add(name, "")
			}
		}
	}
	add("telephone-event", "a=fmtp:101 0-16\r\n")
	family := sdp.AddressType(at)
	return fmt.Sprintf("v=0\r\no=- 1 1 IN %[1]s %[2]v\r\ns=-\r\nc=IN %[1]s %[2]v\r\nt=0 0\r\nm=audio 20000 RTP/AVP %[3]s\r\n%[4]sa=sendrecv\r\n",
		family, at, strings.Join(formats, " "), strings.Join(maps, ""))
}
