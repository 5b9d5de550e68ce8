package sip

import (
	"net/netip"
	"testing"
)

func TestMessage(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.1:4000")
	m := Message("SIP/2.0 200 OK\r\nVia: 1;branch=z1;rport\r\nTo: <sip:x>;tag=t\r\nvia: 2\r\nCSeq: 7 INVITE\r\nContact: \"A\" <sip:c@1:5>;p\r\n" +
		WithBody(Description(at)))
	if m.Status() != 200 || m.Branch() != "z1" || m.Tag("To") != "t" || m.Number() != 7 || m.Method() != "INVITE" || m.Contact() != "sip:c@1:5" {
		t.Errorf("%d %q %q %d %q %q", m.Status(), m.Branch(), m.Tag("To"), m.Number(), m.Method(), m.Contact())
	}
	if got := m.Lines("Via"); got != "Via: 1;branch=z1;rport\r\nvia: 2\r\n" {
		t.Errorf("got %q", got)
	}
	if got := Media(m.Body()); got != at {
		t.Errorf("media at %v", got)
	}
	if Media("v=0\r\n").IsValid() {
		t.Error("an address was found")
	}
}

func TestAnswer(t *testing.T) {
	m := Message("BYE sip:x SIP/2.0\r\nVia: 1\r\nFrom: <sip:f>;tag=1\r\nTo: <sip:t>\r\nCall-ID: c\r\nCSeq: 1 BYE\r\nMax-Forwards: 70\r\n\r\n")
	const want = "SIP/2.0 481 Gone\r\nVia: 1\r\nFrom: <sip:f>;tag=1\r\nCall-ID: c\r\nCSeq: 1 BYE\r\nTo: <sip:t>;tag=me\r\nContent-Length: 0\r\n\r\n"
	if got := m.Answer("481 Gone", "me", WithBody("")); got != want {
		t.Errorf("got %q", got)
	}
	if m.Status() != 0 || m.Method() != "BYE" {
		t.Errorf("%d, %q", m.Status(), m.Method())
	}
}
