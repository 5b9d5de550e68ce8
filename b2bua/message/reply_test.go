package message

import (
	"testing"

	"github.com/emiago/sipgo/sip"
)

// Our response equals the library's for the same request, byte for byte. Making it does not
// change the request.
func TestReplyIsTheLibrarys(t *testing.T) {
	for _, via := range []string{"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa", "v: SIP/2.0/TCP [2001:db8::1]:5061;branch=z9hG4bKa;rport=7"} {
		for _, routes := range []string{"", "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nrecord-route: <sip:p3;lr>\r\n"} {
			text := "INVITE sip:a@b SIP/2.0\r\n" + via + "\r\n" + routes + "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb;rport\r\n" +
				"Max-Forwards: 70\r\nf: \"A\" <sip:a@x>;tag=1\r\nTo: <sip:b@y>;tag=2\r\ni: one\r\nCSeq: 7 INVITE\r\nContact: <sip:a@z>\r\nContent-Length: 0\r\n\r\n"
			msg, err := Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			req := msg.(*sip.Request)
			req.SetSource("192.0.2.9:5099")
			before := req.String()
			for code, recorded := range map[int]bool{100: false, 180: true, 183: true, 200: true, 302: false, 486: false, 503: false, 603: false} {
				got := Reply(req, code, "As It Likes", nil)
				want := sip.NewResponseFromRequest(req, code, "As It Likes", nil)
				if got.String() != want.String() || got.Destination() != want.Destination() || got.Transport() != want.Transport() {
					t.Errorf("response\n%s\nto %s by %s; want\n%s\nto %s by %s", got, got.Destination(), got.Transport(), want, want.Destination(), want.Transport())
				}
				if has := got.GetHeader("Record-Route") != nil; has != (recorded && routes != "") {
					t.Errorf("%d has a Record-Route: %v", code, has)
				}
			}
			if after := req.String(); after != before {
				t.Errorf("the request became\n%s\nfrom\n%s", after, before)
			}
		}
	}
}
