package message

import (
	"slices"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/internal/siptest"
)

// Lists are split where their commas are the list's, and a value that can't be
// read costs only itself.
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
		{"Route", "Route: <<<, <sip:a>", []string{"<<<, <sip:a>"}, ""}, // as it came
		{"Content-Type", "Content-Type:", []string{""}, ""},
	} {
		t.Run(tt.line, func(t *testing.T) {
			msg, err := NewParser().ParseSIP(siptest.CRLF("INVITE sip:a@b SIP/2.0\n" + tt.line + "\n\n"))
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
			if got := SpoiledIn(msg.(*sip.Request).Headers()); got != tt.spoiled {
				t.Errorf("spoiled: %q; want %q", got, tt.spoiled)
			}
		})
	}
}
