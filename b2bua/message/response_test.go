package message

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/sim/siptest"
)

// The topmost Via of a stateless answer gets the source address of the request, as in any
// other answer.
func TestTopVia(t *testing.T) {
	for line, want := range map[string]string{
		"Via: SIP/2.0/UDP 192.0.2.10;branch=x":                        "Via: SIP/2.0/UDP 192.0.2.10;branch=x",
		"Via: SIP/2.0/UDP 192.0.2.10:9;rport;branch=x":                "Via: SIP/2.0/UDP 192.0.2.10:9;rport=5060;received=192.0.2.10;branch=x",
		"Via: SIP/2.0/UDP h ;branch=x , SIP/2.0/UDP two;rport":        "Via: SIP/2.0/UDP h ;branch=x;received=192.0.2.10 , SIP/2.0/UDP two;rport",
		"v : SIP / 2.0 / UDP h ; RPORT ;branch=x":                     "v : SIP / 2.0 / UDP h ; RPORT=5060;received=192.0.2.10 ;branch=x",
		"Via: SIP/2.0/UDP h;rport=7":                                  "Via: SIP/2.0/UDP h;rport=7;received=192.0.2.10",
		"Via: SIP/2.0/UDP h;x=\";rport;\";branch=x":                   "Via: SIP/2.0/UDP h;x=\";rport;\";branch=x;received=192.0.2.10",
		"Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK;reports":  "Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK;reports;received=192.0.2.10",
		"Via: SIP/2.0/UDP h;branch=x,SIP/2.0/UDP 192.0.2.10;branch=y": "Via: SIP/2.0/UDP h;branch=x;received=192.0.2.10,SIP/2.0/UDP 192.0.2.10;branch=y",
	} {
		name, value, _ := strings.Cut(line, ":")
		if got := name + ":" + string(appendTopVia(nil, []byte(value), siptest.Carrier)); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}

func TestStatelessRefusal(t *testing.T) {
	request := siptest.CRLF(`INVITE sip:+15075785607@198.51.100.1 SIP/2.0
Via: SIP/2.0/UDP one;branch=z9hG4bK1
 ;rport
v: SIP/2.0/UDP two;branch=z9hG4bK2, SIP/2.0/UDP three
Subject: folded
 To: <sip:not@this>
f: "Ann; <x>" <sip:a@b>;tag=f
t: "x;tag=name" <sip:c@d;tag=uri>
I: id
CSeq: 1 INVITE
Contact: <sip:secret@10.0.0.1>
Content-Length: 4

v=0
`)
	want := string(siptest.CRLF(`SIP/2.0 503 Service Unavailable
Via: SIP/2.0/UDP one;branch=z9hG4bK1
 ;rport=5060;received=192.0.2.10
v: SIP/2.0/UDP two;branch=z9hG4bK2, SIP/2.0/UDP three
f: "Ann; <x>" <sip:a@b>;tag=f
t: "x;tag=name" <sip:c@d;tag=uri>;tag=minted
I: id
CSeq: 1 INVITE
Retry-After: 5
Content-Length: 0

`))
	if got := string(StatelessRefusal(nil, request, siptest.Carrier, "503 Service Unavailable", "minted", "Retry-After: 5\r\n")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	short := strings.NewReplacer("503 Service Unavailable", "503 ", "Via: ", "v: ", "I: ", "i: ", "Content-Length: 0\r\n", "").Replace(want)
	if got := string(ShortRefusal(nil, request, siptest.Carrier, "503 Service Unavailable", "minted", "Retry-After: 5\r\n")); got != short {
		t.Errorf("got\n%s\nwant\n%s", got, short)
	}
	tagged := bytes.Replace(request, []byte("<sip:c@d;tag=uri>"), []byte("<sip:c@d>;tag=theirs"), 1)
	if got := string(StatelessRefusal(nil, tagged, siptest.Carrier, "503 Service Unavailable", "minted", "")); strings.Contains(got, "minted") {
		t.Errorf("a second To tag:\n%s", got)
	}
}

func FuzzStatelessRefusal(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add(siptest.CRLF(s))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		s, ok := Scan(request)
		if !ok || s.Response || s.vias == 0 {
			return
		}
		out := StatelessRefusal(nil, request, netip.AddrPort{}, "503 Service Unavailable", "minted", "Retry-After: 5\r\n")
		if !bytes.HasPrefix(out, []byte("SIP/2.0 503 Service Unavailable\r\n")) || !bytes.HasSuffix(out, []byte("Content-Length: 0\r\n\r\n")) {
			t.Fatalf("out of form:\n%q", out)
		}
		brought := map[string]bool{"Retry-After: 5": true, "Content-Length: 0": true}
		for line := range bytes.SplitSeq(request, []byte("\n")) {
			line = bytes.ReplaceAll(bytes.TrimRight(line, "\r"), []byte("\r"), []byte(" "))
			brought[string(line)], brought[string(line)+";tag=minted"] = true, true
		}
		lines := strings.Split(strings.TrimSuffix(string(out), "\r\n\r\n"), "\r\n")
		for _, line := range lines[1:] {
			if line == "" || strings.Contains(line, "\n") || !brought[line] {
				t.Errorf("the answer has a line that the request did not bring: %q\n%q", line, request)
			}
		}
		if _, err := sip.ParseMessage(request); err != nil || !sane(request) {
			return
		}
		if _, err := sip.ParseMessage(out); err != nil {
			t.Errorf("the request parses, the answer does not: %v\n%q\n%q", err, request, out)
		}
		short := ShortRefusal(nil, request, netip.AddrPort{}, "503 Service Unavailable", "minted", "Retry-After: 5\r\n")
		if _, err := sip.ParseMessage(short); err != nil || len(short) >= len(out) {
			t.Errorf("the short answer does not parse, or is not short: %v\n%q\n%q", err, request, short)
		}
	})
}

// RFC 3261 section 7.3.1: a header may be folded before its tag. The scanner then finds no
// tag, and a stateless refusal adds a second one before the fold.
func TestFoldedTag(t *testing.T) {
	request := siptest.CRLF("BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\n ;branch=z9hG4bK1\nFrom: <sip:a@b>\n ;tag=f\nTo: <sip:c@d>\n\t;tag=t\nCall-ID: x\nCSeq: 1 BYE\n\n")
	compareScan(t, request)
	if got := string(StatelessRefusal(nil, request, siptest.Carrier, "503 x", "minted", "")); strings.Contains(got, "minted") {
		t.Errorf("a second To tag:\n%s", got)
	}
	// A folded line may look like a header, but must not be read as one.
	compareScan(t, siptest.CRLF("BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>;tag=t\nSubject: x\n To: <sip:c@d>;tag=evil\nCall-ID: x\nCSeq: 1 BYE\n\n"))
}
