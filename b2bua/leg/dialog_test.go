package leg

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// The destination of a request within the dialog depends on the nat setting, the peer's
// Contact and the source of the peer's messages.
func TestNextHopNAT(t *testing.T) {
	const public, private, v6 = "203.0.113.9:40000", "10.1.2.3:40000", "[2001:db8::9]:40000"
	for _, tt := range []struct {
		nat     config.NATMode
		source  string
		contact string
		want    string // an address, or host:port if the name must be looked up
	}{
		{config.NATOff, public, "sip:a@10.0.0.1:5070", "10.0.0.1:5070"},
		{config.NATOff, public, "sip:a@198.51.100.7", "198.51.100.7:5060"},
		{config.NATOff, public, "sip:a@pbx.example", "pbx.example:5060"},
		{config.NATOff, public, "sip:a@[2001:db8::1]:5071", "[2001:db8::1]:5071"},

		{config.NATAuto, public, "sip:a@10.0.0.1:5070", public},
		{config.NATAuto, public, "sip:a@172.31.255.255", public},
		{config.NATAuto, public, "sip:a@172.32.0.1", "172.32.0.1:5060"},
		{config.NATAuto, public, "sip:a@192.168.1.1", public},
		{config.NATAuto, public, "sip:a@100.64.0.1", public}, // carrier-grade NAT
		{config.NATAuto, public, "sip:a@100.127.255.255", public},
		{config.NATAuto, public, "sip:a@100.128.0.1", "100.128.0.1:5060"},
		{config.NATAuto, public, "sip:a@169.254.3.4", public},
		{config.NATAuto, public, "sip:a@127.0.0.1", public},
		{config.NATAuto, public, "sip:a@0.0.0.0", public},
		{config.NATAuto, public, "sip:a@[fd00::1]", public},
		{config.NATAuto, public, "sip:a@[fe80::1]", public},
		{config.NATAuto, public, "sip:a@[::ffff:10.0.0.1]", public},
		{config.NATAuto, public, "sip:a@198.51.100.7:5070", "198.51.100.7:5070"},
		{config.NATAuto, public, "sip:a@203.0.113.9:5070", "203.0.113.9:5070"},
		{config.NATAuto, public, "sip:a@[2001:db8::1]", "[2001:db8::1]:5060"},
		{config.NATAuto, public, "sip:a@pbx.example:5080", "pbx.example:5080"},
		{config.NATAuto, private, "sip:a@10.0.0.1:5070", "10.0.0.1:5070"}, // both private: no NAT between us
		{config.NATAuto, "100.64.9.9:5060", "sip:a@10.0.0.1", "10.0.0.1:5060"},
		{config.NATAuto, v6, "sip:a@[fd00::1]:5070", v6},

		{config.NATOn, public, "sip:a@198.51.100.7:5070", public},
		{config.NATOn, public, "sip:a@203.0.113.9:5070", "203.0.113.9:5070"},
		{config.NATOn, public, "sip:a@[::ffff:203.0.113.9]:5070", "203.0.113.9:5070"},
		{config.NATOn, public, "sip:a@pbx.example", public},
		{config.NATOn, private, "sip:a@10.0.0.1", private},
		{config.NATOn, v6, "sip:a@[2001:db8::9]:5070", "[2001:db8::9]:5070"},
		{config.NATOn, v6, "sip:a@[2001:db8::8]:5070", v6},
	} {
		d := Dialog{nat: tt.nat, Source: netip.MustParseAddrPort(tt.source), RemoteTarget: tt.contact}
		var recipient sip.Uri
		routes, next := d.routing(&recipient)
		if got := showHop(next); got != tt.want {
			t.Errorf("nat %s, from %s, Contact %s: to %s; want %s", tt.nat, tt.source, tt.contact, got, tt.want)
		}
		if len(routes) != 0 || recipient.String() == "" {
			t.Errorf("%s: recipient %s, routes %v", tt.contact, recipient.String(), routes)
		}
	}
}

func showHop(h Hop) string {
	if h.Addr.IsValid() {
		return h.Addr.String()
	}
	return h.Host + ":" + strconv.Itoa(int(h.Port))
}

// The nat setting also applies to the first route: a proxy inside the peer's network can't
// be reached either.
func TestNextHopOfRouteBehindNAT(t *testing.T) {
	d := Dialog{
		nat: config.NATAuto, Source: netip.MustParseAddrPort("203.0.113.9:40000"),
		RemoteTarget: "sip:a@198.51.100.7", routeSet: []string{"<sip:10.0.0.1;lr>", "<sip:p2.example;lr>"},
	}
	var recipient sip.Uri
	routes, next := d.routing(&recipient)
	if recipient.String() != "sip:a@198.51.100.7" || len(routes) != 2 || showHop(next) != "203.0.113.9:40000" {
		t.Errorf("to %s by %v at %s", recipient.String(), routes, showHop(next))
	}
}

// Malformed values that no peer should send yield no destination, and do no harm.
func TestRoutingOfGarbage(t *testing.T) {
	for _, d := range []Dialog{
		{},
		{RemoteTarget: "%%%"},
		{RemoteTarget: "sip:"},
		{RemoteTarget: "*"},
		{RemoteTarget: "tel:+1507"},
		{RemoteTarget: "sip:a@198.51.100.7:99999"},
		{RemoteTarget: "sip:a@[::1"},
		{RemoteTarget: "sip:a@198.51.100.7", routeSet: []string{""}},
		{RemoteTarget: "sip:a@198.51.100.7", routeSet: []string{`"`}},
		{RemoteTarget: "sip:a@198.51.100.7", routeSet: []string{"<>"}},
		{RemoteTarget: "sip:a@198.51.100.7", routeSet: []string{"<sip:;lr>"}},
		{RemoteTarget: "sip:a@198.51.100.7", routeSet: []string{"<sip:[;lr>", "<"}},
	} {
		d.CallID, d.localParty, d.RemoteParty, d.LocalTag, d.remoteTag = "c", "<sip:a@b>", "<sip:c@d>", "l", "r"
		req, _ := d.request(sip.BYE, 0, &sip.ViaHeader{})
		if req.CSeq().SeqNo != 1 {
			t.Errorf("CSeq %d", req.CSeq().SeqNo)
		}
		_ = req.String()
	}
}

func TestDialogRequestForm(t *testing.T) {
	d := Dialog{
		CallID: "c@h", LocalTag: "l", remoteTag: "r", localParty: `"A" <sip:a@b>`, RemoteParty: "<sip:c@d>;x=y",
		localSeq: 41, RemoteTarget: "sip:c@192.0.2.1", routeSet: []string{"<sip:p.example;lr>"},
	}
	req, _ := d.request(sip.BYE, 0, &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: "h"}, sip.NewHeader("Reason", "x"))
	want := "BYE sip:c@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nMax-Forwards: 70\r\nFrom: \"A\" <sip:a@b>;tag=l\r\nTo: <sip:c@d>;x=y;tag=r\r\n" +
		"Call-ID: c@h\r\nCSeq: 42 BYE\r\nRoute: <sip:p.example;lr>\r\nContent-Length: 0\r\nReason: x\r\n\r\n"
	if got := req.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if ack, _ := d.request(sip.ACK, 41, &sip.ViaHeader{}); ack.CSeq().SeqNo != 41 || d.localSeq != 42 {
		t.Errorf("ACK has CSeq %d; LocalSeq %d", ack.CSeq().SeqNo, d.localSeq)
	}
}

func TestLocalNames(t *testing.T) {
	for host, want := range map[string][2]string{
		"198.51.100.1": {"<sip:198.51.100.1:5060>", "<sip:+1507@198.51.100.1>"},
		"2001:db8::1":  {"<sip:[2001:db8::1]:5060>", "<sip:+1507@[2001:db8::1]>"},
		"sip.example":  {"<sip:sip.example:5060>", "<sip:+1507@sip.example>"},
	} {
		l := Local{Host: host, Port: 5060}
		if l.contact() != want[0] || l.Address("+1507") != want[1] {
			t.Errorf("%s: %s and %s; want %v", host, l.contact(), l.Address("+1507"), want)
		}
	}
}
