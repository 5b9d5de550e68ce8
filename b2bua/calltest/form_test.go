package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/sim/siptest"
)

// spoilers each make one change to a good INVITE, or to the 200 to our INVITE. An empty
// status means that the result is still accepted.
var spoilers = []struct {
	name     string
	old, new string
	status   string
}{
	{"no Via", "Via: ", "X-Via: ", "silence"},
	{"Via without host", "Via: SIP/2.0/UDP 192.0.2.10:5060", "Via: SIP/2.0/UDP ", "silence"},
	{"Via with words", "Via: SIP/2.0/UDP 192.0.2.10:5060", "Via: hello", "silence"},
	{"Via with a port too high", "192.0.2.10:5060;branch", "192.0.2.10:65536;branch", "400 Via Has No Valid Port"},
	{"Via with port 0", "192.0.2.10:5060;branch", "192.0.2.10:0;branch", "400 Via Has No Valid Port"},
	{"Via of another protocol", "Via: SIP/2.0", "Via: SIP/3.0", "400 Via Is of Another Protocol"},
	{"Via list with a hole", "Via: SIP/2.0/UDP 192.0.2.10:5060", "Via: SIP/2.0/UDP 192.0.2.10:5060,", "400 Via Is Malformed"},
	{"second Via malformed", "Max-Forwards", "Via: ;;;\nMax-Forwards", "400 Via Is Malformed"},
	{"second Via with port 0", "Max-Forwards", "Via: SIP/2.0/UDP 192.0.2.99:0;branch=z9hG4bKy\nMax-Forwards", ""},
	{"second Via with a port too high", "Max-Forwards", "Via: SIP/2.0/UDP 192.0.2.99:65536;branch=z9hG4bKy\nMax-Forwards", ""},
	{"line end before it", "INVITE sip", "\nINVITE sip", ""},
	{"two line ends before it", "INVITE sip", "\n\nINVITE sip", ""},
	{"angle bracket in a Via", "branch=z9hG4bK", "branch=z9hG<b", "400 Via Is Malformed"},

	{"no From", "From: ", "X-From: ", "400 From Is Missing"},
	{"no From tag", ";tag=ann", "", "400 From Has No Tag"},
	{"empty From tag", ";tag=ann", ";tag=", "400 From Has No Tag"},
	{"From without URI", "From: ", "From: <>\nX: ", "400 From Has No URI of a Known Form"},
	{"From twice", "From: ", "From: <sip:a@b>;tag=x\nFrom: ", "400 From Comes Twice"},
	{"From with an unclosed bracket", "192.0.2.10>;tag", "192.0.2.10;tag", "400 From Has an Unclosed Bracket"},
	{"From with two hosts", "0100@192.0.2.10>", "0100@a@192.0.2.10>", "400 From Has a URI With Two Hosts"},
	{"From with a bad port", "192.0.2.10>;tag", "192.0.2.10:x>;tag", "400 From Has a URI With a Malformed Port"},
	{"From with a bad host", "0100@192.0.2.10>", "0100@>", "400 From Has a URI With a Malformed Host"},
	{"From with an open IPv6 address", "0100@192.0.2.10>", "0100@[::1>", "400 From Has a URI With a Malformed Host"},
	{"From in UTF-8", `"Ann Smith"`, `"Ännchen, Öl"`, ""},
	{"From without quotes", `"Ann Smith"`, `Ann Smith`, ""},
	{"From with tel", "sip:+15075550100@192.0.2.10", "tel:+15075550100", ""},
	{"From at an IPv6 address", "0100@192.0.2.10>", "0100@[2001:db8::1]:5060>", ""},
	{"no To", "To: ", "X-To: ", "400 To Is Missing"},
	{"To twice", "To: ", "t: <sip:a@b>\nTo: ", "400 To Comes Twice"},
	{"garbage behind To", "198.51.100.1>\n", "198.51.100.1> x\n", "400 To Has Something Behind Its URI"},
	{"no Call-ID", "Call-ID: ", "X-Call-ID: ", "400 Call-ID Is Missing"},
	{"empty Call-ID", "Call-ID: ", "Call-ID:\nX: ", "400 Call-ID Is Malformed"},
	{"Call-ID with a space", "Call-ID: ", "Call-ID: a ", "400 Call-ID Is Malformed"},
	{"Call-ID twice", "Call-ID: ", "i: x\nCall-ID: ", "400 Call-ID Comes Twice"},
	{"no CSeq", "CSeq: ", "X-CSeq: ", "400 CSeq Is Missing"},
	{"CSeq twice", "CSeq: ", "CSeq: 1 INVITE\nCSeq: ", "400 CSeq Comes Twice"},
	{"CSeq without method", "1 INVITE", "1", "400 CSeq Has No Method"},
	{"CSeq without number", "1 INVITE", "INVITE", "400 CSeq Has No Number Below 2**31"},
	{"negative CSeq", "1 INVITE", "-1 INVITE", "400 CSeq Has No Number Below 2**31"},
	{"CSeq too high", "1 INVITE", "2147483648 INVITE", "400 CSeq Has No Number Below 2**31"},
	{"CSeq of another method", "1 INVITE", "1 BYE", "400 CSeq Is of Another Method"},
	{"CSeq with much space", "1 INVITE", "  1 \t INVITE ", ""},
	{"no Max-Forwards", "Max-Forwards: 70\n", "", ""}, // RFC 3261 section 16.3
	{"Max-Forwards twice", "Max-Forwards: ", "Max-Forwards: 70\nMax-Forwards: ", "400 Max-Forwards Comes Twice"},
	{"Max-Forwards too high", "Max-Forwards: 70", "Max-Forwards: 256", "400 Max-Forwards Is Not 0 to 255"},
	{"negative Max-Forwards", "Max-Forwards: 70", "Max-Forwards: -1", "400 Max-Forwards Is Not 0 to 255"},
	{"Max-Forwards 0", "Max-Forwards: 70", "Max-Forwards: 0", "483 Too Many Hops"},
	{"no Content-Length", "Content-Length: ", "X-Length: ", ""},
	{"Content-Length too high", "Content-Length: ", "Content-Length: 1", "400 Content-Length Is More Than the Message Has"},
	{"Content-Length beyond numbers", "Content-Length: ", "Content-Length: 99999999999999999999", "400 Content-Length Is Malformed"},
	{"negative Content-Length", "Content-Length: ", "Content-Length: -", "400 Content-Length Is Malformed"},
	{"two Content-Lengths", "Content-Length: ", "l: 1\nContent-Length: ", "400 Content-Length Comes Twice"},

	{"no Contact", "Contact: ", "X-Contact: ", "400 Contact with one sip URI is missing"},
	{"malformed Contact", "<sip:ann@192.0.2.10:5060>", "<sip:ann@192.0.2.10:5060", "400 Contact Has an Unclosed Bracket"},
	{"two Contacts", "<sip:ann@192.0.2.10:5060>", "<sip:ann@192.0.2.10:5060>, <sip:x@y>", "400 Contact with one sip URI is missing"},
	{"malformed Record-Route", "Max-Forwards", "Record-Route: <sip:a;lr>, <sip:b:c;lr>\nMax-Forwards", "400 Record-Route Has a URI With a Malformed Port"},
	{"malformed Route", "Max-Forwards", "Route: <<<\nRefer-To: \"\nReferred-By: <\nMax-Forwards", ""}, // headers that we ignore
	{"another type of body", "application/sdp", "text/plain", "415 Unsupported Media Type"},
	{"no type of body", "Content-Type: ", "X-Type: ", "415 Unsupported Media Type"},
	{"empty type of body", "application/sdp", "", "415 Unsupported Media Type"},
	{"SDP not acceptable", "Max-Forwards", "Accept: text/plain\nMax-Forwards", "406 Not Acceptable"},
	{"nothing acceptable", "Max-Forwards", "Accept:\nMax-Forwards", "406 Not Acceptable"},
	{"SDP acceptable among others", "Max-Forwards", "Accept: text/plain\nAccept: a/b, Application/SDP;q=1\nMax-Forwards", ""},

	{"no colon", "Max-Forwards", "hello\nMax-Forwards", "400 Header Line Has No Colon"},
	{"name with a space", "Max-Forwards", "Hello World: x\nMax-Forwards", "400 Header Name Is No Token"},
	{"no name", "Max-Forwards", ": x\nMax-Forwards", "400 Header Name Is No Token"},
	{"folded start line", "Via: ", " folded\nVia: ", "400 Start Line Is Folded"},
	{"lower-case method", "INVITE sip", "invite sip", "400 CSeq Is of Another Method"},
	{"lower-case version", " SIP/2.0\nVia", " sip/2.0\nVia", ""},
	{"no version", " SIP/2.0\nVia", "\nVia", "400 Start Line Has No Version"},
	{"another version", " SIP/2.0\nVia", " SIP/2.1\nVia", "505 Version Not Supported"}, // RFC 3261 section 21.5.6
	{"no version", " SIP/2.0\nVia", " SIP/\nVia", "505 Version Not Supported"},
	{"something behind the version", " SIP/2.0\nVia", " SIP/2.0\tx\nVia", "505 Version Not Supported"},
	{"two spaces", "INVITE sip", "INVITE  sip", "400 Request-URI Has No URI of a Known Form"},
	{"space at the end", " SIP/2.0\nVia", " SIP/2.0 \nVia", "400 Start Line Ends in a Space"},
	{"URI without scheme", "INVITE sip:", "INVITE ", "400 Request-URI Has No URI of a Known Form"},
	{"URI with an unknown scheme", "INVITE sip:", "INVITE x-1.y+z:", "416 Unsupported URI Scheme"},
	{"URI with headers", ":5060 SIP/2.0", ":5060?a=b SIP/2.0", "400 Request-URI Has Headers"},
	{"URI with escapes", "INVITE sip:+15075785607", "INVITE sip:%2B15075785607", ""},
	{"method that is no token", "INVITE sip", "INV@TE sip", "400 Method Is No Token"},
}

// RFC 3261 section 8.2.6.2: an answer repeats the lower Vias exactly as they came, even
// with unusual ports.
func TestLowerViasAreSentBack(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.send(strings.Replace(d.request("INVITE"), "Max-Forwards",
			"Via: SIP/2.0/UDP 192.0.2.98:0;branch=z9hG4bKx, SIP/2.0/UDP 192.0.2.99:65536;branch=z9hG4bKy\nMax-Forwards", 1))
		ringing := d.learn(w.carrier.expect("SIP/2.0 180"))
		for _, via := range []string{"Via: SIP/2.0/UDP 192.0.2.98:0;branch=z9hG4bKx\r\n", "Via: SIP/2.0/UDP 192.0.2.99:65536;branch=z9hG4bKy\r\n"} {
			if !strings.Contains(ringing.raw, via) {
				t.Errorf("not there: %s\n%s", via, ringing.raw)
			}
		}
		w.shortCall(w.agent, w.agent.expect("INVITE"), "a", d)
	})
}

// A malformed INVITE is refused with a reason phrase that names the fault. An odd but valid
// INVITE is accepted.
func TestMalformedInvites(t *testing.T) {
	for _, tt := range spoilers {
		runIn(t, tt.name, testConfig, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			text := d.request("INVITE")
			if strings.Contains(tt.old, "1 INVITE") {
				tt.old, tt.new = "CSeq: "+tt.old, "CSeq: "+tt.new
			}
			if !strings.Contains(text, tt.old) {
				w.t.Fatalf("nothing to spoil in\n%s", text)
			}
			w.carrier.send(strings.Replace(text, tt.old, tt.new, 1))
			switch tt.status {
			case "":
				w.carrier.expect("SIP/2.0 180")
				w.agent.expect("INVITE")
			case "silence":
				w.carrier.silent(time.Minute)
			default:
				w.carrier.expect("SIP/2.0 " + tt.status + "\r\n")
			}
			w.settle()
		})
	}
}

// These messages are malformed in their raw lines, for example in a line end.
func TestMalformedLines(t *testing.T) {
	for _, tt := range []struct{ name, old, new, status string }{
		{"bare line feed", "\r\nMax-Forwards", "\nMax-Forwards", "400 Line Does Not End in CRLF"},
		{"bare line feeds only", "\r\n", "\n", "400 Line Does Not End in CRLF"},
		{"bare carriage return", "\r\nMax-Forwards", "\rMax-Forwards", "400 Line Does Not End in CRLF"},
		{"carriage return in a value", "tag=ann", "tag=ann\rX: y", "400 Line Does Not End in CRLF"},
		{"two carriage returns", "\r\nMax-Forwards", "\r\r\nMax-Forwards", "400 Line Does Not End in CRLF"},
		{"no end", "\r\n\r\n", "\r\n", "400 Header Line Has No Colon"}, // the body is then read as headers
		{"cut in a header", "\r\nMax-Forwards", "\x00", "400 Headers Have No End"},
		{"cut behind a header", "\r\nMax-Forwards", "\r\n\x00", "400 Headers Have No End"},
		{"nothing behind the start line", "\r\nVia", "\r\n\x00", ""},
		{"half a start line", " SIP/2.0\r\n", "\x00", ""},
		{"NUL bytes", "\r\n", "\x00\x00", ""},
	} {
		runIn(t, tt.name, testConfig, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			text := string(siptest.CRLF(strings.ReplaceAll(d.request("INVITE"), "\r\n", "\n")))
			n := 1
			if tt.name == "bare line feeds only" || tt.name == "NUL bytes" {
				n = -1
			}
			text = strings.Replace(text, tt.old, tt.new, n)
			if tt.name != "NUL bytes" {
				text, _, _ = strings.Cut(text, "\x00")
			}
			w.carrier.sendBytes([]byte(text))
			if tt.status == "" {
				w.carrier.silent(time.Minute)
			} else {
				w.carrier.expect("SIP/2.0 " + tt.status + "\r\n")
			}
			w.settle()
		})
	}
}

// A malformed message that is not a request gets no answer. It is counted, and does not
// reach a transaction.
func TestMalformedAnswers(t *testing.T) {
	for _, tt := range []struct{ name, old, new string }{
		{"no From", "From: ", "X: "},
		{"no To", "To: ", "X: "},
		{"no Call-ID", "Call-ID: ", "X: "},
		{"no CSeq", "CSeq: ", "X: "},
		{"two CSeqs", "CSeq: ", "CSeq: 1 BYE\nCSeq: "},
		{"another Via", "From: ", "Via: SIP/2.0/UDP x;branch=z9hG4bK1\nFrom: "}, // RFC 3261 section 8.1.3.3
		{"a list of Vias", "\nFrom: ", ", SIP/2.0/UDP x\nFrom: "},
		{"more Content-Length than body", "Content-Length: ", "Content-Length: 1"},
		{"a status that is none", "SIP/2.0 200", "SIP/2.0 2000"},
		{"a status too high", "SIP/2.0 200", "SIP/2.0 700"},
		{"a status of two digits", "SIP/2.0 200", "SIP/2.0 20"},
		{"malformed Contact", agentContact, "Contact: <sip:a"},
		{"malformed Record-Route", "From: ", "Record-Route: <sip:a;lr>, <sip:[::1;lr>\nFrom: "},
	} {
		runIn(t, tt.name, testConfig, func(w *world) {
			d, invite := w.carrier.callsAt(w.agent, "+15075785607")
			ok := hostileAnswer(invite, 200, "a", agentSDP(), agentContact)
			bad := strings.Replace(ok, tt.old, tt.new, 1)
			if bad == ok {
				w.t.Fatalf("nothing to spoil in\n%s", ok)
			}
			w.agent.send(bad)
			w.agent.silent(100 * time.Millisecond)
			w.carrier.silent(0)
			count, name := &w.server.Rejected().Malformed, "malformed"
			if tt.name == "no From" { // without From, the message can't be matched to this leg's request
				count, name = &w.server.Rejected().UnknownSource, "from strangers"
			}
			if n := count.Load(); n != 1 {
				w.t.Errorf("%d are counted as %s; want 1", n, name)
			}
			w.agent.send(ok)
			w.agent.expect("ACK")
			w.carrier.isAnswered(d)
			w.callerEnds(w.agent, d)
		})
	}
}

// A malformed ACK is not answered, like any ACK.
func TestMalformedACK(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		for _, spoil := range []string{"From: ", "CSeq: ", "Max-Forwards: "} {
			w.carrier.send(strings.Replace(d.request("ACK"), spoil, "X:\n"+spoil+"x", 1))
		}
		w.carrier.silent(time.Second)
		if n := w.server.Rejected().Malformed.Load(); n != 3 {
			t.Errorf("%d are counted as malformed; want 3", n)
		}
	})
}

// A refusal with a malformed Contact still counts as a refusal: the next target is tried at
// once.
func TestRefusalWithSpoiledContact(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		w.agent.send(hostileAnswer(w.agent.expect("INVITE"), 486, "a", "", "Contact: <<<"))
		w.agent.expect("ACK")
		w.carrier.isRefused(d, "486")
		w.settle()
	})
}
