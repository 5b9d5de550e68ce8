package transport

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// The screen drops every ACK and every message without Via silently.
func TestGuardRefusesOnlyRequests(t *testing.T) {
	for text, want := range map[string]bool{
		"INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\n\n": true,
		"ACK sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\n\n":    false,
		"INVITE sip:a@b SIP/2.0\nTo: <sip:a@b>\n\n":      false,
		"SIP/2.0 200 OK\nVia: SIP/2.0/UDP h\n\n":         false,
	} {
		msg, _ := message.Scan(siptest.CRLF(text))
		v := (&screen{mint: minter}).refuse(msg, peers.Sender{Addr: siptest.Carrier}, "513 Message Too Large", "")
		if got := v.status != ""; got != want {
			t.Errorf("%q: answered %v; want %v", text, got, want)
		}
	}
}

// FuzzJudge checks that a refused message gets an answer if it says where to send one, with
// a valid reason phrase.
func FuzzJudge(f *testing.F) {
	for _, raw := range siptest.RFC4475(f) {
		f.Add(raw)
	}
	s := openScreen(f)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		msg, ok := message.Scan(datagram)
		v := s.judge(datagram, siptest.Carrier)
		switch {
		case !ok && (v.admitted || v.status != ""):
			t.Errorf("what is no SIP is not ignored")
		case !ok || v.admitted:
		default:
			if silent := msg.Response || !msg.Readable || string(msg.Method) == "ACK"; silent != (v.status == "") {
				t.Errorf("answer %q", v.status)
			}
			wantSafe(t, v.status)
		}
	})
}

// wantSafe checks that a reason phrase can be sent.
func wantSafe(t *testing.T, status string) {
	t.Helper()
	if len(status) > 100 || strings.ContainsFunc(status, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		t.Errorf("status %q", status)
	}
}

// openScreen returns a screen that knows the carrier, and has room for more calls.
func openScreen(t testing.TB) *screen {
	t.Helper()
	return newHost(t, stackConfig, Network{}, Unplugged).stack.newScreen(config.TransportUDP, nil)
}

// goodMessages returns well-formed messages.
func goodMessages() map[string][]byte {
	return map[string][]byte{
		"INVITE": newCall("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101")), "BYE": newCall("BYE", ""),
		"200": siptest.CRLF("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=" + minter.Branch("x") + "\n" +
			"From: <sip:a@b>;tag=x\nTo: <sip:c@d>;tag=y\nCall-ID: id\nCSeq: 1 INVITE\nContact: <sip:a@b>\nContent-Length: 0\n\n"),
	}
}

func BenchmarkJudgeGood(b *testing.B) {
	s := openScreen(b)
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
	for name, parse := range map[string]func([]byte) (sip.Message, error){"ours": message.Parse, "the library's": sip.ParseMessage} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The screen, which sees only bytes, and the server must compute the same tag for an
// INVITE, however its CSeq is spelled. Otherwise a retransmission to a full trunk would get
// 503 although its call exists.
func TestScreenAndServerAgreeOnTag(t *testing.T) {
	for _, cseq := range []string{"7 INVITE", "007 INVITE", "7\tINVITE"} {
		text := "INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\nCall-ID: x\nCSeq: " + cseq + "\n\n"
		req := siptest.Request(t, text)
		req.SetSource(siptest.Carrier.String())
		msg, ok := message.Scan(siptest.CRLF(text))
		screened := minter.InviteTag(originOf(msg, peers.Sender{Addr: siptest.Carrier}))
		if parsed := minter.TagOfInvite(req); !ok || screened != parsed {
			t.Errorf("CSeq %q: the screen's tag %s; the server's %s", cseq, screened, parsed)
		}
	}
}
