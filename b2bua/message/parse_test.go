package message

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/sim/siptest"
)

// Header lists are split at the commas between their values. An unreadable value does not
// affect the others.
func TestParserReadsLists(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       []string
		spoiled    string
	}{
		{"Record-Route", "Record-Route: <sip:a;lr>, <sip:b;lr>,<sip:c;lr>", []string{"<sip:a;lr>", "<sip:b;lr>", "<sip:c;lr>"}, ""},
		{"Record-Route", "Record-Route: <sip:a,b@c;lr>\nRecord-Route: <sip:d;lr>", []string{"<sip:a,b@c;lr>", "<sip:d;lr>"}, ""},
		{"Record-Route", "Record-Route: <sip:a;lr>, <sip:b", []string{"<sip:a;lr>", "<sip:b"}, "Record-Route Has an Unclosed Bracket"},
		{"Contact", `m: "a\", b" <sip:x@y>;q=1 , <sip:z@w>`, []string{`"a\", b" <sip:x@y>;q=1`, "<sip:z@w>"}, ""},
		{"Contact", "Contact: *", []string{"*"}, ""},
		{"Contact", "Contact: ,", []string{"", ""}, "Contact Has No URI of a Known Form"},
		{"Via", "Via: SIP/2.0/UDP h;branch=z9hG4bK1 , SIP / 2.0 / TCP i:5062 ; x=\"a, b\"", []string{"SIP/2.0/UDP h;branch=z9hG4bK1", `SIP/2.0/TCP i:5062;x="a, b"`}, ""},
		{"Via", "v: SIP/2.0/UDP [2001:db8::1]:5070;rport", []string{"SIP/2.0/UDP [2001:db8::1]:5070;rport"}, ""},
		{"Via", "Via: nonsense", []string{"nonsense"}, ""},
		{"Route", "Route: <<<, <sip:a>", []string{"<<<, <sip:a>"}, ""}, // kept as it came
		{"Content-Type", "Content-Type:", []string{""}, ""},
	} {
		t.Run(tt.line, func(t *testing.T) {
			msg, err := Parse(siptest.CRLF("INVITE sip:a@b SIP/2.0\n" + tt.line + "\n\n"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range msg.GetHeaders(tt.name) {
				got = append(got, h.Value())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q; want %q", got, tt.want)
			}
			if got := BadHeaderIn(msg.(*sip.Request).Headers()); got != tt.spoiled {
				t.Errorf("spoiled: %q; want %q", got, tt.spoiled)
			}
		})
	}
}

// The library finds the topmost Via and Record-Route, and all stay in order.
func TestParserFindsTopmost(t *testing.T) {
	for _, vias := range []string{
		"Via: SIP/2.0/UDP top;branch=z9hG4bK1", "Via: SIP/2.0/UDP top\nVia: SIP/2.0/UDP low", "Via: SIP/2.0/UDP top, SIP/2.0/UDP mid\nv: SIP/2.0/UDP low",
		"Via: unreadable\nVia: SIP/2.0/UDP top\nVia: SIP/2.0/UDP low",
	} {
		text := "INVITE sip:a@b SIP/2.0\nRecord-Route: <sip:first;lr>\n" + vias + "\nRecord-Route: <sip:second;lr>, <sip:third;lr>\nX: y\n\n"
		msg, err := Parse(siptest.CRLF(text))
		if err != nil {
			t.Fatal(err)
		}
		req, ok := msg.(*sip.Request)
		if !ok || req.Via().Host != "top" || req.RecordRoute().Address.Host != "first" {
			t.Errorf("Via %v, Record-Route %v of\n%s", req.Via(), req.RecordRoute(), text)
		}
		var hosts []string
		for _, h := range req.Headers() {
			switch h := h.(type) {
			case *sip.ViaHeader:
				hosts = append(hosts, h.Host)
			case *sip.RecordRouteHeader:
				hosts = append(hosts, h.Address.Host)
			}
		}
		if !slices.IsSortedFunc(hosts, func(a, b string) int { return strings.Index(text, a) - strings.Index(text, b) }) {
			t.Errorf("hosts %q of\n%s", hosts, text)
		}
	}
}

// libraryParser returns the library's parser with our functions for reading headers. It
// splits messages into headers by its own rules.
func libraryParser() *sip.Parser {
	all := map[string]sip.HeaderParser{}
	for _, name := range []string{
		"via", "v", "contact", "m", "record-route", "from", "f", "to", "t", "call-id", "i", "cseq", "max-forwards",
		"content-length", "l", "content-type", "c",
	} {
		all[name] = func(_ []byte, value string) (sip.Header, error) {
			p := parsing{usual: &usualHeaders{}}
			return p.read(headerKindOf(name), name, value), nil
		}
	}
	return sip.NewParser(sip.WithHeadersParsers(all))
}

// FuzzParse checks that a message is split into start line, headers and body in the same
// way as by the library. It ignores lists, and headers whose names the library spells
// differently.
func FuzzParse(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add(siptest.CRLF(s))
	}
	for _, raw := range siptest.RFC4475(f) {
		f.Add(raw)
	}
	f.Add(siptest.CRLF(written))
	f.Add(siptest.CRLF("SIP/2.0 200 SIP\nVia : SIP/2.0/UDP\n  h\nX:\n\ty \n z\nl: 2\n\nabc"))
	library := libraryParser()
	f.Fuzz(func(t *testing.T, text []byte) {
		msg, err := Parse(text)
		if err != nil || bytes.IndexByte(text, ',') >= 0 {
			return
		}
		want, err := library.ParseSIP(text)
		if err != nil {
			return // for example, the reason phrase is "SIP"
		}
		got := msg.String()
		if req, ok := want.(*sip.Request); ok {
			ours, isRequest := msg.(*sip.Request)
			if !isRequest || !strings.EqualFold(string(ours.Method), string(req.Method)) {
				t.Fatalf("another start line of\n%q", text)
			}
			req.Method, req.SipVersion = ours.Method, ours.SipVersion
		} else if res, ok := want.(*sip.Response); ok {
			res.SipVersion = "SIP/2.0"
		}
		if got != want.String() {
			t.Errorf("got\n%q\nwant\n%q\nof\n%q", got, want, text)
		}
	})
}
