package b2bua

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"flowbridge/internal/siptest"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
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
				s, ok := scan([]byte(strings.ReplaceAll(tt.text, "\n", ends)))
				got := want{string(s.method), string(s.branch), string(s.toTag), string(s.fromTag), string(s.callID), string(s.cseq), s.vias}
				if !ok || s.response || got != tt.want {
					t.Errorf("got %+v, ok %v; want %+v", got, ok, tt.want)
				}
			})
		}
	}
}

func TestScanStartLine(t *testing.T) {
	for line, want := range map[string][2]bool{ // SIP, response
		"INVITE sip:a@b SIP/2.0": {true, false}, "SIP/2.0 200 OK": {true, true}, "SIP/2.0 200 ": {true, true},
		"INVITE sip:a b SIP/3.0": {true, false}, "": {}, " ": {}, "INVITE": {}, "INVITE sip:a@b": {}, "GET / HTTP/1.1": {},
		" INVITE sip:a@b SIP/2.0": {}, "\x00\x01\x00\x00": {}, "SIP/2.0": {},
	} {
		s, ok := scan([]byte(line + "\r\n\r\n"))
		if ok != want[0] || s.response != want[1] {
			t.Errorf("%q: ok %v, response %v; want %v", line, ok, s.response, want)
		}
	}
	for _, nothing := range [][]byte{nil, {}, []byte("\n"), []byte("\r\n\r\n")} {
		if _, ok := scan(nothing); ok {
			t.Errorf("%q passes", nothing)
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
	if n := testing.AllocsPerRun(100, func() { scan(request) }); n != 0 {
		t.Errorf("scan allocates %v times", n)
	}
	out := make([]byte, 0, 8192)
	if n := testing.AllocsPerRun(100, func() {
		out = statelessRefusal(out[:0], request, siptest.Carrier, "503 Service Unavailable", "tag", "Retry-After: 5\r\n")
	}); n != 0 {
		t.Errorf("statelessRefusal allocates %v times", n)
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
	if got := string(statelessRefusal(nil, request, siptest.Carrier, "503 Service Unavailable", "minted", "Retry-After: 5\r\n")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	tagged := bytes.Replace(request, []byte("<sip:c@d;tag=uri>"), []byte("<sip:c@d>;tag=theirs"), 1)
	if got := string(statelessRefusal(nil, tagged, siptest.Carrier, "503 Service Unavailable", "minted", "")); strings.Contains(got, "minted") {
		t.Errorf("a second To tag:\n%s", got)
	}
}

// The guard refuses what has no Via and every ACK with silence.
func TestGuardRefusesOnlyRequests(t *testing.T) {
	for text, want := range map[string]bool{
		"INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\n\n": true,
		"ACK sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\n\n":    false,
		"INVITE sip:a@b SIP/2.0\nTo: <sip:a@b>\n\n":      false,
		"SIP/2.0 200 OK\nVia: SIP/2.0/UDP h\n\n":         false,
	} {
		msg, _ := scan(siptest.CRLF(text))
		v := (&screen{mint: legMint}).refuse(msg, "513 Message Too Large", "")
		if got := v.status != ""; got != want {
			t.Errorf("%q: answered %v; want %v", text, got, want)
		}
	}
}

// What sipgo and the scanner read must be the same: the guard decides by the
// one, the dialogs by the other.
func TestScanAgreesWithParser(t *testing.T) {
	for _, headers := range []string{
		"To: <sip:a@b>;tag=x", "To: <sip:a@b>", "t:<sip:a@b>;tag=x;y=z", `To: "q;tag=n" <sip:a@b;tag=u>;tag=x`, "To: sip:a@b;tag=x",
		"TO: Ann <sip:a@b>;x;tag=x", "To: <sip:a@b>;TAG=x", "To: <sip:a@b>;tag=", "To: <sip:a@b>;tag", "To: <sip:a@b>;tag=x\nTo: <sip:a@b>;tag=y",
		"To: <sip:a@b>;tag=x\nTo: <sip:a@b>", "To: \"a\\\"b;tag=z\" <sip:a@b>;tag=x", "To: <tel:+1;tag=u>;tag=x", "To: <sip:a@b?h=v>;tag=x",
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

// compareScan compares what the guard reads with what the parser reads, for
// what the parser accepts.
func compareScan(t *testing.T, datagram []byte) {
	t.Helper()
	msg, err := newParser().ParseSIP(datagram)
	if err != nil {
		return
	}
	s, ok := scan(datagram)
	if !ok {
		t.Errorf("the parser accepts what scan calls no SIP:\n%q", datagram)
		return
	}
	if to := msg.To(); to != nil && tagOf(to.Params) != string(s.toTag) {
		t.Errorf("To tag: scan %q, parser %q of\n%q", s.toTag, tagOf(to.Params), datagram)
	}
	if from := msg.From(); from != nil && tagOf(from.Params) != string(s.fromTag) {
		t.Errorf("From tag: scan %q, parser %q of\n%q", s.fromTag, tagOf(from.Params), datagram)
	}
	if id := msg.CallID(); id != nil && id.Value() != string(s.callID) {
		t.Errorf("Call-ID: scan %q, parser %q of\n%q", s.callID, id.Value(), datagram)
	}
	if via := msg.Via(); via != nil {
		if branch, _ := via.Params.Get("branch"); branch != string(s.branch) {
			t.Errorf("branch: scan %q, parser %q of\n%q", s.branch, branch, datagram)
		}
	}
}

// sane says whether a datagram has no header lines that parsers read in
// different ways; FuzzScan compares only those.
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
	"ACK sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\n ;branch=x\nTo: <sip:c@d>\n ;tag=t\n\n",
}

// FuzzScan: what the guard admits the library's parser reads, with every
// header that the guard looked at, and as the guard did; what it does not
// admit is answered if an answer has a way to go.
func FuzzScan(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add(siptest.CRLF(s))
	}
	for _, raw := range siptest.RFC4475(f) {
		f.Add(raw)
	}
	parser := newParser()
	s := testScreen()
	f.Fuzz(func(t *testing.T, datagram []byte) {
		msg, ok := scan(datagram)
		v := s.judge(datagram, siptest.Carrier)
		if !ok {
			if v.admitted || v.status != "" {
				t.Errorf("what is no SIP is not ignored")
			}
			return
		}
		for name, v := range map[string][]byte{
			"method": msg.method, "branch": msg.branch, "To tag": msg.toTag, "From tag": msg.fromTag, "Call-ID": msg.callID, "CSeq": msg.cseq,
		} {
			if !bytes.Contains(datagram, v) {
				t.Errorf("%s %q", name, v)
			}
		}
		legMint.MintedTag(msg.toTag)
		legMint.MintedBranch(msg.branch)
		if !v.admitted {
			if silent := msg.response || !msg.readable || string(msg.method) == "ACK"; silent != (v.status == "") {
				t.Errorf("answer %q", v.status)
			}
			wantSafe(t, v.status)
			return
		}
		wantAgreement(t, parser, msg, datagram)
	})
}

// wantSafe checks that a reason phrase is one that can be sent.
func wantSafe(t *testing.T, status string) {
	t.Helper()
	if len(status) > 100 || strings.ContainsFunc(status, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		t.Errorf("status %q", status)
	}
}

// wantAgreement checks that the library reads an admitted message as the guard
// does.
func wantAgreement(t *testing.T, parser *sip.Parser, msg scanned, datagram []byte) {
	t.Helper()
	parsed, err := parser.ParseSIP(datagram)
	if err != nil {
		if !isReasonTrap(datagram) {
			t.Fatalf("admitted, but not parsed: %v\n%q", err, datagram)
		}
		return
	}
	_, isResponse := parsed.(*sip.Response)
	via, to, from, id, cseq := parsed.Via(), parsed.To(), parsed.From(), parsed.CallID(), parsed.CSeq()
	if isResponse != msg.response || via == nil || to == nil || from == nil || id == nil || cseq == nil {
		t.Fatalf("something is missing: %v %v %v %v %v\n%q", via, to, from, id, cseq, datagram)
	}
	branch, _ := via.Params.Get("branch")
	for name, v := range map[string][2]string{
		"branch": {branch, bareOf(msg.branch)}, "To tag": {tagOf(to.Params), bareOf(msg.toTag)}, "From tag": {tagOf(from.Params), bareOf(msg.fromTag)},
		"Call-ID": {id.Value(), string(msg.callID)}, "CSeq": {strconv.Itoa(int(cseq.SeqNo)), string(msg.cseq)},
		"CSeq method": {string(cseq.MethodName), string(msg.cseqMethod)}, "body": {string(parsed.Body()), string(msg.body)},
	} {
		if v[0] != v[1] {
			t.Errorf("%s: the parser %q, the guard %q of\n%q", name, v[0], v[1], datagram)
		}
	}
	if h := spoiledIn(parsed.(interface{ Headers() []sip.Header }).Headers()); h != "" &&
		!strings.HasPrefix(h, "Contact") && !strings.HasPrefix(h, "Record-Route") {
		t.Errorf("spoiled: %s\n%q", h, datagram)
	}
}

func bareOf(v []byte) string { return bare(string(v)) }

// isReasonTrap: the library takes a status line whose reason phrase is one word
// that begins with SIP for a request line.
func isReasonTrap(datagram []byte) bool {
	line, _ := cutLine(datagram)
	parts := bytes.SplitN(line, []byte{' '}, 3)
	return len(parts) == 3 && len(parts[2]) >= 3 && equalFold(parts[2][:3], "sip") && isSIPVersion(parts[0])
}

// testScreen is a screen that knows the carrier and is never full.
func testScreen() *screen {
	return &screen{
		mint: legMint, gate: openGate{}, count: &Rejections{}, limits: newLimits(testLimits), log: zerolog.Nop(), logBudget: newRejectionLog(), strangers: newStrangers(),
	}
}

type openGate struct{}

func (openGate) standing(string, netip.AddrPort) standing { return standing{known: true} }
func (openGate) capacity(string, netip.AddrPort) capacity { return capacityFree }
func (openGate) inDialog([]byte) bool                     { return true }
func (openGate) inProgress(minted) bool                   { return false }

// A message that nothing is wrong with costs no allocation before it is
// parsed.
func TestJudgeOfGoodMessagesDoesNotAllocate(t *testing.T) {
	s := testScreen()
	for name, raw := range goodMessages() {
		if v := s.judge(raw, siptest.Carrier); !v.admitted {
			t.Errorf("%s: %s", name, v.status)
		}
		if n := testing.AllocsPerRun(100, func() { s.judge(raw, siptest.Carrier) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func goodMessages() map[string][]byte {
	d := (&peer{}).newCall("+15075785607")
	invite := siptest.CRLF(strings.ReplaceAll(d.request("INVITE"), "\r\n", "\n"))
	return map[string][]byte{
		"INVITE": invite, "BYE": siptest.CRLF(d.request("BYE")),
		"200": siptest.CRLF("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=" + legMint.Branch() + "\n" +
			"From: <sip:a@b>;tag=x\nTo: <sip:c@d>;tag=y\nCall-ID: id\nCSeq: 1 INVITE\nContact: <sip:a@b>\nContent-Length: 0\n\n"),
	}
}

func BenchmarkJudgeGood(b *testing.B) {
	s := testScreen()
	for name, raw := range goodMessages() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				s.judge(raw, siptest.Carrier)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	raw := goodMessages()["INVITE"]
	for name, parser := range map[string]*sip.Parser{"ours": newParser(), "the library's": sip.NewParser()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parser.ParseSIP(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzStatelessRefusal(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add(siptest.CRLF(s))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		s, ok := scan(request)
		if !ok || s.response || s.vias == 0 {
			return
		}
		out := statelessRefusal(nil, request, netip.AddrPort{}, "503 Service Unavailable", "minted", "Retry-After: 5\r\n")
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
	})
}
