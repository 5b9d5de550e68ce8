//go:build !race

package message

import (
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/sim/siptest"
)

// Making a message allocates one list for its headers, however many there are.
func TestComposeAllocatesLittle(t *testing.T) {
	headers := make([]sip.Header, 20)
	for i := range headers {
		headers[i] = sip.NewHeader("X", "y")
	}
	msg, err := Parse(siptest.CRLF("INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: 1@h\nCSeq: 1 INVITE\n\n"))
	invite, ok := msg.(*sip.Request)
	if err != nil || !ok {
		t.Fatal(err)
	}
	invite.SetTransport("UDP")
	invite.SetSource("192.0.2.1:5060")
	for _, tt := range []struct {
		name string
		want float64
		do   func()
	}{
		{"request", 2, func() { SetHeaders(&sip.Request{Method: sip.BYE}, headers...) }},
		{"response", 2, func() { Reply(invite, 200, "OK", nil, headers...) }}, // includes the Content-Length
	} {
		if n := testing.AllocsPerRun(100, tt.do); n > tt.want {
			t.Errorf("a %s makes %v objects; want %v", tt.name, n, tt.want)
		}
	}
}

// The text is the only object. Without the race detector, because that empties pools at random.
func TestURITextAllocates(t *testing.T) {
	u := ParseURI("sip:+15075785607@192.0.2.20:32681")
	if n := testing.AllocsPerRun(100, func() { _ = URIText(&u) }); n > 1 {
		t.Errorf("%v allocations; want 1", n)
	}
}
