package message

import (
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/internal/siptest"
)

const written = `INVITE sip:+1507:secret@[2001:db8::1]:5070;transport=tcp;x="a b"?Subject=1&Priority=2 SIP/2.0
Via: SIP/2.0/UDP 2001:db8::2:5060;branch=z9hG4bK1;rport;received=192.0.2.1, SIP/2.0/TCP h
Record-Route: <sip:p1;lr>,<sip:p2:5080;lr>
Route: <sip:p3;lr>
Max-Forwards: 70
From: "Ann \"A\" Smith" <sip:ann@h:5062>;tag=a
To: <tel:+15075785607;phone-context=x>
Call-ID: 1@h
CSeq: 4294967295 INVITE
Contact: "B" <sip:b@192.0.2.1:5061;ob>;expires=60;x="c d"
X-Other:  y
Supported: timer, 100rel
Expires: 120
Content-Type: application/sdp
Content-Length: 3

v=0`

// FuzzAppend: what is written is what the library would write.
func FuzzAppend(f *testing.F) {
	f.Add([]byte(written))
	f.Add([]byte("SIP/2.0 486 Busy Here\nVia: SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1\nContact: *\nTo: <urn:x//y>\n\n"))
	f.Add([]byte("ACK sip://u@h SIP/2.0\nVia: SIP/2.0/UDP h:0\nFrom: <sips:[::ffff:1.2.3.4]>\nContact: <sip:[::1>\nTo: x <sip:h>;tag\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		msg, err := Parse(siptest.CRLF(string(text)))
		if err != nil || msg.Via() == nil { // the library writes an empty line too many then
			return
		}
		b := TakeBuffer()
		defer b.Release()
		b.Append(msg)
		if want := msg.String(); string(b.Bytes) != want {
			t.Errorf("got\n%q\nwant\n%q", b.Bytes, want)
		}
		if req, ok := msg.(*sip.Request); ok && URIText(&req.Recipient) != req.Recipient.String() {
			t.Errorf("URI %s; want %s", URIText(&req.Recipient), req.Recipient.String())
		}
	})
}
