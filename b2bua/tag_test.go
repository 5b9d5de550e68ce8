package b2bua

import (
	"strings"
	"testing"

	"flowbridge/b2bua/message"
	"flowbridge/internal/siptest"
)

func TestTagForIsStableOverPath(t *testing.T) {
	s := &Server{mint: testMinter}
	const text = `INVITE sip:+15075785607@198.51.100.1 SIP/2.0
Via: SIP/2.0/UDP %VIA%
From: <sip:a@b>;tag=ann
To: <sip:c@d>
Call-ID: one
CSeq: 7 INVITE
Content-Length: 0

`
	a := siptest.Request(t, strings.ReplaceAll(text, "%VIA%", "192.0.2.10;branch=z9hG4bK1"))
	b := siptest.Request(t, strings.ReplaceAll(text, "%VIA%", "192.0.2.11;branch=z9hG4bK2"))
	if s.tagFor(a) != s.tagFor(b) {
		t.Error("the same request by two paths has two tags")
	}
	// The guard, which sees the bytes only, says the same.
	msg, ok := message.Scan([]byte(a.String()))
	if got := (&screen{mint: testMinter}).tagFor(msg); !ok || string(got[:]) != s.tagFor(a) {
		t.Errorf("the guard's tag %s; want %s", got, s.tagFor(a))
	}
}
