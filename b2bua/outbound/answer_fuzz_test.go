package outbound

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
)

// FuzzPassedOn: of a target's refusal go on to the carrier a reason phrase, a
// Q.850 cause and the headers of a list. Whatever the target writes, the
// answer that goes out has the lines that we give it and no other.
func FuzzPassedOn(f *testing.F) {
	f.Add("Busy Here", "Q.850;cause=17;text=\"busy\"", "X-Foo: bar")
	f.Add("No\nX-Evil: 1", "Q.850 ;cause=999, SIP;cause=200, q.850;CAUSE= 16 ", "X-Foo: a\nb\nX-Foo:\t\n c")
	f.Add("\u0085\x7f\xff", "Q.850;cause=-1;;=", "X-Foo: "+strings.Repeat("x", 2000)+"\nRetry-After: 5 (\r)")
	f.Add("0", "0 ", " \n00")
	f.Fuzz(func(t *testing.T, reason, q850, header string) {
		if n := cause.Q850In([]string{q850}); n < 0 || n > 127 {
			t.Errorf("%q gives Q.850 cause %d", q850, n)
		}
		text := "SIP/2.0 486 " + reason + "\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:c@d>;tag=y\r\n" +
			"Call-ID: one\r\nCSeq: 1 INVITE\r\nReason: " + q850 + "\r\n" + header + "\r\nContent-Length: 0\r\n\r\n"
		msg, err := message.NewParser().ParseSIP([]byte(text))
		if err != nil {
			return
		}
		res, ok := msg.(*sip.Response)
		if !ok {
			return
		}
		headers, _ := Passed(res.Headers(), []string{"X-Foo", "Retry-After", "Reason", "Warning", "X-*"})
		out := sip.NewResponse(res.StatusCode, message.Phrase(res.Reason))
		out.AppendHeader(sip.NewHeader("Server", AgentName)) // without any header the library ends it with an empty line more
		for _, h := range headers {
			out.AppendHeader(h)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\r\n\r\n"), "\r\n")
		if len(lines) != 2+len(headers) || strings.ContainsFunc(strings.Join(lines, ""), func(r rune) bool { return message.IsControl(r) && r != '\t' }) {
			t.Errorf("%d headers give %q", len(headers), lines)
		}
		if len(headers) > maxPassed || len(lines[0]) > message.MaxPhrase+len("SIP/2.0 486 ") {
			t.Errorf("%d headers, start line of %d bytes", len(headers), len(lines[0]))
		}
	})
}

// FuzzNonce: only what we made is read as a nonce of ours, and in one spelling.
func FuzzNonce(f *testing.F) {
	m := message.NewMinter([32]byte{1})
	made := m.Challenge(netip.MustParseAddr("192.0.2.10"), time.UnixMilli(1_800_000_000_123))
	ours := string(made[:])
	f.Add(ours)
	f.Add(strings.ToUpper(ours))
	f.Add(ours[1:])
	f.Add(ours + "0")
	f.Add("g" + ours[1:])
	f.Add(fmt.Sprintf("%052d", 0))
	f.Fuzz(func(t *testing.T, nonce string) {
		if d, ok := m.ReadNonce(nonce); ok && !strings.EqualFold(nonce, ours) {
			t.Errorf("%q is read as %+v", nonce, d)
		}
	})
}
