package message

import (
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/internal/siptest"
)

// An answer has the headers that the library copies, and the request stays as it was.
func TestResponseTo(t *testing.T) {
	const rest = "From: <sip:a@192.0.2.1>;tag=1\nTo: \"B\" <sip:b@192.0.2.2>;tag=2\nCall-ID: c@x\nCSeq: 7 INVITE\nMax-Forwards: 70\nContent-Length: 0\n\n"
	for name, head := range map[string]string{
		"plain":             "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\n",
		"rport":             "Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1\nVia: SIP/2.0/UDP 192.0.2.9;rport;branch=z9hG4bK2\n",
		"rport known":       "Via: SIP/2.0/UDP 192.0.2.1;rport=5;received=192.0.2.5;branch=z9hG4bK1\n",
		"through two peers": "Record-Route: <sip:p1;lr>\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nrecord-route: <sip:p2;lr>\n",
	} {
		req := siptest.Request(t, "INVITE sip:b@192.0.2.2 SIP/2.0\n"+head+rest)
		req.SetSource("192.0.2.77:5099")
		before := req.String()
		for _, body := range []string{"", "v=0\r\n"} {
			want := sip.NewResponseFromRequest(req, 200, "OK", []byte(body))
			got := ResponseTo(req, 200, "OK", []byte(body))
			if got.String() != want.String() || got.Destination() != want.Destination() || got.Transport() != want.Transport() {
				t.Errorf("%s: got\n%swant\n%s", name, got, want)
			}
		}
		if req.String() != before {
			t.Errorf("%s: the request is now\n%s", name, req)
		}
	}
}
