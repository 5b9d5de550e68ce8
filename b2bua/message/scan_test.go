package message

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/sim/siptest"
)

func TestScan(t *testing.T) {
	type want struct {
		method, branch, toTag, fromTag, callID, cseq string
		vias                                         int
	}
	for _, tt := range []struct {
		name, text string
		want       want
	}{
		{
			"long names",
			"INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>;tag=t\nCall-ID: id@h\nCSeq: 7 INVITE\n\n",
			want{"INVITE", "z9hG4bK1", "t", "f", "id@h", "7", 1},
		},
		{
			"compact names and spaces",
			"BYE sip:a@b SIP/2.0\nv:SIP/2.0/UDP h;branch=z9hG4bK1\nf : <sip:a@b> ; tag = f\nt\t:<sip:c@d>;tag=t\ni:id\nCSEQ:  7  BYE\n\n",
			want{"BYE", "z9hG4bK1", "t", "f", "id", "7", 1},
		},
		{
			"several Vias",
			"BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP one;branch=z9hG4bKtop, SIP/2.0/UDP two;branch=z9hG4bK2\nVia: SIP/2.0/UDP three;branch=z9hG4bK3\n\n",
			want{method: "BYE", branch: "z9hG4bKtop", vias: 2},
		},
		{"Via without branch", "BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\nVia: SIP/2.0/UDP i;branch=z9\n\n", want{method: "BYE", vias: 2}},
		{
			"no To tag, but one in the URI", "INVITE sip:a@b SIP/2.0\nTo: <sip:c@d;tag=uri>\nFrom: <sip:a@b;tag=uri>;tag=real\n\n",
			want{method: "INVITE", fromTag: "real"},
		},
		{
			"tag in a display name", "INVITE sip:a@b SIP/2.0\nTo: \"x;tag=name\" <sip:c@d>\nFrom: \"y>;tag=name\" <sip:a@b>;x=1;tag=real;z\n\n",
			want{method: "INVITE", fromTag: "real"},
		},
		{
			"brackets in a display name", "INVITE sip:a@b SIP/2.0\nTo: \"a <sip:x@y>;tag=name\" <sip:c@d>;tag=real\n\n",
			want{method: "INVITE", toTag: "real"},
		},
		{"no brackets", "INVITE sip:a@b SIP/2.0\nTo: sip:c@d;tag=t\nFrom: sip:a@b\n\n", want{method: "INVITE", toTag: "t"}},
		{"no headers", "OPTIONS sip:a@b SIP/2.0\n\n", want{method: "OPTIONS"}},
		{"no end", "OPTIONS sip:a@b SIP/2.0\nCall-ID: x", want{method: "OPTIONS", callID: "x"}},
		{"body is not read", "INVITE sip:a@b SIP/2.0\nCall-ID: x\n\nCall-ID: body\nTo: <sip:c@d>;tag=t\n", want{method: "INVITE", callID: "x"}},
		{"lines that are no headers", "INVITE sip:a@b SIP/2.0\nnonsense\n:\n: x\nCall-ID: x\n\n", want{method: "INVITE", callID: "x"}},
	} {
		for _, ends := range []string{"\r\n", "\n"} {
			t.Run(tt.name, func(t *testing.T) {
				s, ok := Scan([]byte(strings.ReplaceAll(tt.text, "\n", ends)))
				got := want{string(s.Method), string(s.Branch), string(s.ToTag), string(s.FromTag), string(s.CallID), string(s.CSeq), s.vias}
				if !ok || s.Response || got != tt.want {
					t.Errorf("got %+v, ok %v; want %+v", got, ok, tt.want)
				}
			})
		}
	}
}

func TestScanStartLine(t *testing.T) {
	for line, want := range map[string][2]bool{ // whether it is SIP, and whether it is a response
		"INVITE sip:a@b SIP/2.0": {true, false}, "SIP/2.0 200 OK": {true, true}, "SIP/2.0 200 ": {true, true}, "SIP/2.0 200": {true, true},
		"INVITE sip:a b SIP/3.0": {true, false}, "": {}, " ": {}, "INVITE": {}, "INVITE sip:a@b": {}, "GET / HTTP/1.1": {},
		" INVITE sip:a@b SIP/2.0": {}, "\x00\x01\x00\x00": {}, "SIP/2.0": {},
	} {
		s, ok := Scan([]byte(line + "\r\n\r\n"))
		if ok != want[0] || s.Response != want[1] {
			t.Errorf("%q: ok %v, response %v; want %v", line, ok, s.Response, want)
		}
	}
	for _, nothing := range [][]byte{nil, {}, []byte("\n"), []byte("\r\n\r\n")} {
		if _, ok := Scan(nothing); ok {
			t.Errorf("%q passes", nothing)
		}
	}
}

// Only responses to INVITE, UPDATE and PRACK may have an offer or an answer.
func TestMayBringSDP(t *testing.T) {
	for start, wants := range map[string]string{"SIP/2.0 200 OK": "INVITE UPDATE PRACK", "%s sip:a@b SIP/2.0": ""} {
		for method := range strings.FieldsSeq("INVITE UPDATE PRACK ACK BYE CANCEL INFO MESSAGE NOTIFY OPTIONS REFER invite") {
			text := strings.ReplaceAll(start, "%s", method) + "\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\n" +
				"To: <sip:c@d>\nCall-ID: x\nCSeq: 1 " + method + "\n\n"
			msg, ok := Scan(siptest.CRLF(text))
			want := slices.Contains(strings.Fields(wants), method)
			if got := msg.MayBringSDP(); !ok || got != want {
				t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
			}
		}
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	request := siptest.CRLF(`INVITE sip:+15075785607@198.51.100.1 SIP/2.0
Via: SIP/2.0/UDP one;branch=z9hG4bKtop, SIP/2.0/UDP two;branch=z9hG4bK2
From: "Ann" <sip:a@b;x=y>;tag=f
To: <sip:c@d>;tag=t
Call-ID: id
CSeq: 1 INVITE
X-Long: ` + strings.Repeat("x", 4000) + "\n\n")
	if n := testing.AllocsPerRun(100, func() { Scan(request) }); n != 0 {
		t.Errorf("scan allocates %v times", n)
	}
	out := make([]byte, 0, 8192)
	if n := testing.AllocsPerRun(100, func() {
		out = StatelessRefusal(out[:0], request, siptest.Carrier, "503 Service Unavailable", "tag", "Retry-After: 5\r\n")
	}); n != 0 {
		t.Errorf("statelessRefusal allocates %v times", n)
	}
}

// sipgo and the scanner must read the same values, because the screen uses the scanner's
// values and dialogs use sipgo's.
func TestScanAgreesWithParser(t *testing.T) {
	for _, headers := range []string{
		"To: <sip:a@b>;tag=x", "To: <sip:a@b>", "t:<sip:a@b>;tag=x;y=z", `To: "q;tag=n" <sip:a@b;tag=u>;tag=x`, "To: sip:a@b;tag=x",
		"TO: Ann <sip:a@b>;x;tag=x", "To: <sip:a@b>;TAG=x", "To: <sip:a@b>;tag=", "To: <sip:a@b>;tag", "To: <sip:a@b>;tag=x\nTo: <sip:a@b>;tag=y",
		"To: <sip:a@b>;tag=x\nTo: <sip:a@b>", "To: \"a\\\"b;tag=z\" <sip:a@b>;tag=x", "To: <tel:+1;tag=u>;tag=x", "To: <sip:a@b?h=v>;tag=x",
		"To: <sip:a@b>;tag=x;TAG=y", "To: <sip:a@b>;Tag=x;tag=y", "To: <sip:a@b>;\vtag=x;tag=y", "To: <sip:a@b>; tag = x ", "To: <sip:a@b>;tag=x\u00a0;y",
	} {
		text := siptest.CRLF("BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\n" + headers + "\nCall-ID: x\nCSeq: 1 BYE\n\n")
		compareScan(t, text)
	}
	for _, via := range []string{
		"h;branch=z9hG4bK1", `h ; x="a,b;branch=no" ; BRANCH = z9hG4bK1`, "[2001:db8::1]:5060;branch=z9hG4bK1", "h : 5060 ;branch=z9hG4bK1;rport",
		"h, SIP/2.0/TCP i;branch=z9hG4bK2", "h;branch=z9hG4bK1,SIP / 2.0 / TCP i ; branch=z9hG4bK2", "h;branch=z9hG4bK1;branch=z9hG4bK2",
	} {
		compareScan(t, siptest.CRLF("BYE sip:a@b SIP/2.0\nVia: SIP / 2.0/UDP "+via+"\nFrom: <sip:a@b>;tag=f\nTo: <sip:a@b>\nCall-ID: x\nCSeq: 1 BYE\n\n"))
	}
}

// compareScan compares the values of the scanner and of the parser, for messages that the
// parser accepts.
func compareScan(t *testing.T, datagram []byte) {
	t.Helper()
	msg, err := Parse(datagram)
	if err != nil {
		return
	}
	s, ok := Scan(datagram)
	if !ok {
		t.Errorf("the parser accepts what scan calls no SIP:\n%q", datagram)
		return
	}
	if to := msg.To(); to != nil && TagOf(to.Params) != string(s.ToTag) {
		t.Errorf("To tag: scan %q, parser %q of\n%q", s.ToTag, TagOf(to.Params), datagram)
	}
	if from := msg.From(); from != nil && TagOf(from.Params) != string(s.FromTag) {
		t.Errorf("From tag: scan %q, parser %q of\n%q", s.FromTag, TagOf(from.Params), datagram)
	}
	if id := msg.CallID(); id != nil && id.Value() != string(s.CallID) {
		t.Errorf("Call-ID: scan %q, parser %q of\n%q", s.CallID, id.Value(), datagram)
	}
	if via := msg.Via(); via != nil {
		if branch, _ := via.Params.Get("branch"); branch != string(s.Branch) {
			t.Errorf("branch: scan %q, parser %q of\n%q", s.Branch, branch, datagram)
		}
	}
}

// sane reports whether a datagram has only header lines that all parsers read in the same
// way. FuzzScan compares only such datagrams.
func sane(datagram []byte) bool {
	head, _, _ := bytes.Cut(datagram, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n") || bytes.HasPrefix(line, []byte(" ")) || bytes.HasPrefix(line, []byte("\t")) {
			return false
		}
	}
	return !bytes.ContainsAny(head, "\x00\v\f\\") && bytes.IndexFunc(head, func(r rune) bool { return r >= 0x7f }) < 0
}

var scanSeeds = []string{
	"INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\nCall-ID: id@h\nCSeq: 7 INVITE\n\n",
	"BYE sip:a@b SIP/2.0\nv: SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/UDP i\nf: \"x\" <sip:a@b>;tag=f\nt: sip:c@d;tag=t\ni: x\nCSeq: 7 BYE\n\n",
	"SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>;tag=t\nCall-ID: id@h\nCSeq: 7 INVITE\n\n",
	"SIP/2.0 486\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>;tag=t\nCall-ID: id@h\nCSeq: 7 INVITE\n\n",
	"ACK sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\n ;branch=x\nTo: <sip:c@d>\n ;tag=t\n\n",
	"BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/UDP i:0\nVia: SIP/2.0/UDP j:70000\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>;tag=t\nCall-ID: x\nCSeq: 7 BYE\n\n",
}

// FuzzScan checks that the parser reads every message that the scan finds well-formed,
// with the same values for all headers that the scan reads.
func FuzzScan(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add(siptest.CRLF(s))
	}
	for _, raw := range siptest.RFC4475(f) {
		f.Add(raw)
	}
	mint := NewMinter([32]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		msg, ok := Scan(datagram)
		if !ok {
			return
		}
		for name, v := range map[string][]byte{
			"method": msg.Method, "branch": msg.Branch, "To tag": msg.ToTag, "From tag": msg.FromTag, "Call-ID": msg.CallID, "CSeq": msg.CSeq,
		} {
			if !bytes.Contains(datagram, v) {
				t.Errorf("%s %q", name, v)
			}
		}
		mint.OwnsTag(msg.ToTag)
		mint.OwnsBranch(msg.Branch, msg.FromTag)
		if msg.Wrong == "" && IsSupportedVersion(string(msg.Version)) {
			wantAgreement(t, msg, datagram)
		}
	})
}

// wantAgreement checks that the parser reads the same values from an admitted message as
// the scanner.
func wantAgreement(t *testing.T, msg Scanned, datagram []byte) {
	t.Helper()
	parsed, err := Parse(datagram)
	if err != nil {
		t.Fatalf("admitted, but not parsed: %v\n%q", err, datagram)
	}
	_, isResponse := parsed.(*sip.Response)
	via, to, from, id, cseq := parsed.Via(), parsed.To(), parsed.From(), parsed.CallID(), parsed.CSeq()
	if isResponse != msg.Response || via == nil || to == nil || from == nil || id == nil || cseq == nil {
		t.Fatalf("something is missing: %v %v %v %v %v\n%q", via, to, from, id, cseq, datagram)
	}
	branch, _ := via.Params.Get("branch")
	for name, v := range map[string][2]string{
		"branch": {branch, bareOf(msg.Branch)}, "To tag": {TagOf(to.Params), bareOf(msg.ToTag)}, "From tag": {TagOf(from.Params), bareOf(msg.FromTag)},
		"Call-ID": {id.Value(), string(msg.CallID)}, "CSeq": {strconv.Itoa(int(cseq.SeqNo)), string(msg.CSeq)},
		"CSeq method": {string(cseq.MethodName), string(msg.cseqMethod)}, "body": {string(parsed.Body()), string(msg.Body)},
	} {
		if v[0] != v[1] {
			t.Errorf("%s: the parser %q, the guard %q of\n%q", name, v[0], v[1], datagram)
		}
	}
	if h := BadHeaderIn(parsed.(interface{ Headers() []sip.Header }).Headers()); h != "" &&
		!strings.HasPrefix(h, "Contact") && !strings.HasPrefix(h, "Record-Route") {
		t.Errorf("spoiled: %s\n%q", h, datagram)
	}
}

func bareOf(v []byte) string { return bare(string(v)) }

// The scanner and sipgo must read the same tag even from these odd To headers. Otherwise the
// screen might accept a request whose dialog is then not found, or the reverse.
func TestScanDiffersFromParser(t *testing.T) {
	for _, to := range []string{
		`<sip:a@b>;tag=x;p=">"`, `<sip:a@b>;tag=x;tag=y`, `<sip:a@b>;tag=x=y`, `"a" sip:a@b;tag=x`,
	} {
		compareScan(t, siptest.CRLF("BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9\nFrom: <sip:a@b>;tag=f\nTo: "+to+"\nCall-ID: x\nCSeq: 1 BYE\n\n"))
	}
}
