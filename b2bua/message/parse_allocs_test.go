//go:build !race

package message

import (
	"testing"

	"flowbridge/sim/siptest"
)

// Parsing a message takes few allocations. They are for its text, the message with its
// usual headers, the list of headers, their parameters, a Contact, the body with its type
// and length, and each header that is not parsed.
func TestParseAllocatesLittle(t *testing.T) {
	for _, tt := range []struct {
		text string
		most float64
	}{
		{
			"INVITE sip:+1@h SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\nFrom: \"Ann\" <sip:a@b>;tag=1\nTo: <sip:c@d>\n" +
				"Call-ID: 1@h\nCSeq: 1 INVITE\nContact: <sip:a@b>\nMax-Forwards: 70\nSubject: x\nContent-Type: application/sdp\nContent-Length: 3\n\nv=0", 9,
		},
		{"BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: 1@h\nCSeq: 1 BYE\nContent-Length: 0\n\n", 4},
		{"SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: 1@h\nCSeq: 1 BYE\nContent-Length: 0\n\n", 4},
	} {
		text := siptest.CRLF(tt.text)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := Parse(text); err != nil {
				t.Fatal(err)
			}
		}); n > tt.most {
			t.Errorf("%v allocations, want at most %v, for\n%s", n, tt.most, text)
		}
	}
}
