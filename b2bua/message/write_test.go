package message

import (
	"slices"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/sim/siptest"
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

// FuzzAppend checks that we write the same text as the library.
func FuzzAppend(f *testing.F) {
	f.Add([]byte(written))
	f.Add([]byte("SIP/2.0 486 Busy Here\nVia: SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1\nContact: *\nTo: <urn:x//y>\n\n"))
	f.Add([]byte("ACK sip://u@h SIP/2.0\nVia: SIP/2.0/UDP h:0\nFrom: <sips:[::ffff:1.2.3.4]>\nContact: <sip:[::1>\nTo: x <sip:h>;tag\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		msg, err := Parse(siptest.CRLF(string(text)))
		if err != nil || msg.Via() == nil { // without Via the library writes an extra empty line
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

// TestAppendTrying: the 100 that we write as text equals the one written with the library's
// types.
func TestAppendTrying(t *testing.T) {
	for _, via := range []string{
		"SIP/2.0/UDP h:5070;rport;branch=z9hG4bK1", "SIP/2.0/UDP h;branch=z9hG4bK1;received=192.0.2.9;rport, SIP/2.0/UDP i;rport",
		"SIP/2.0/TCP h;branch=z9hG4bK1\nVia: SIP/2.0/UDP i;rport", "SIP/2.0/UDP h;rport=5;branch=z9hG4bK1",
	} {
		for _, source := range []string{"192.0.2.10:5060", "[2001:db8::1]:5061"} {
			msg, err := Parse(siptest.CRLF("INVITE sip:a@b SIP/2.0\nRecord-Route: <sip:p;lr>\nVia: " + via +
				"\nTimestamp: 54\nFrom: \"A\" <sip:a@b>;tag=f\nTo: <sip:c@d>;tag=t\nCall-ID: 1\nCSeq: 7 INVITE\nRecord-Route: <sip:q>\n\n"))
			req, ok := msg.(*sip.Request)
			if err != nil || !ok {
				t.Fatal(err)
			}
			req.SetSource(source)
			b := TakeBuffer()
			b.AppendTrying(req)
			if want := sip.NewResponseFromRequest(req, 100, "Trying", nil).String(); string(b.Bytes) != want {
				t.Errorf("got\n%s\nwant\n%s", b.Bytes, want)
			}
			b.Release()
		}
	}
}

// FuzzHeaderText checks that any well-formed request can be parsed, and that the text of
// its headers, parsed again, gives the same headers.
func FuzzHeaderText(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add(siptest.CRLF(s))
	}
	for _, raw := range siptest.RFC4475(f) {
		f.Add(raw)
	}
	f.Add(siptest.CRLF(written))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, ok := Scan(text)
		if !ok || s.Wrong != "" || s.Response || !IsSupportedVersion(string(s.Version)) {
			return
		}
		req := parsedRequest(t, text)
		if req.Via() == nil || req.From() == nil || req.To() == nil || req.CSeq() == nil || req.CallID() == nil {
			t.Fatalf("a header is missing in\n%q", text)
		}
		again := parsedRequest(t, []byte(HeaderTextOf(req)))
		if got, want := URIText(&again.Recipient), URIText(&req.Recipient); got != want {
			t.Errorf("Request-URI %s; want %s", got, want)
		}
		want := slices.DeleteFunc(slices.Clone(req.Headers()), func(h sip.Header) bool {
			_, length := h.(*sip.ContentLengthHeader)
			return length
		})
		same := func(a, b sip.Header) bool { return a.Name() == b.Name() && a.Value() == b.Value() }
		if got := again.Headers(); !slices.EqualFunc(got, want, same) {
			t.Errorf("got\n%v\nwant\n%v\nof\n%q", got, want, text)
		}
	})
}

func parsedRequest(t *testing.T, text []byte) *sip.Request {
	t.Helper()
	msg, err := Parse(text)
	req, ok := msg.(*sip.Request)
	if err != nil || !ok {
		t.Fatalf("%v: %q", err, text)
	}
	return req
}
