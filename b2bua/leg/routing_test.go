package leg

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// RFC 3261 section 12.2.1.1: on both sides our requests within a dialog follow its route
// set, through loose or strict routers. So does the ACK of a re-INVITE (section 13.2.2.4).
// A later Record-Route does not change the route set.
func TestRoutingWithinDialogs(t *testing.T) {
	const routes = " | Record-Route: <sip:192.0.2.1;lr> | Record-Route: <sip:192.0.2.2:5090;lr>"
	const strict = " | Record-Route: <sip:192.0.2.1> | Record-Route: <sip:192.0.2.2:5090>"
	const ann, agent = "sip:ann@192.0.2.10:5070;x=y", "sip:agent@192.0.2.20:5099"
	const uas, uac = "uas", "uac"
	for _, tt := range []struct{ kind, headers, want string }{
		{uas, routes, " has URI: " + ann + " | Route: <sip:192.0.2.1;lr>, <sip:192.0.2.2:5090;lr> | Hop: 192.0.2.1:5060"},
		{uas, strict, " has URI: sip:192.0.2.1 | Route: <sip:192.0.2.2:5090>, <" + ann + "> | Hop: 192.0.2.1:5060"},
		{uac, routes, " has URI: " + agent + " | Route: <sip:192.0.2.2:5090;lr>, <sip:192.0.2.1;lr> | Hop: 192.0.2.2:5090"},
		{uac, strict, " has URI: sip:192.0.2.2:5090 | Route: <sip:192.0.2.1>, <" + agent + "> | Hop: 192.0.2.2:5090"},
	} {
		t.Run(tt.kind+tt.headers, func(t *testing.T) {
			lt := legOf(t, "uas"+tt.headers)
			if tt.kind == uac {
				lt = uacIn(t, "calling")
				lt.play("200 agent | Contact: <" + agent + ">" + tt.headers)
			} else {
				lt.play(uasState["confirmed"])
			}
			lt.play("offer X -> INVITE\nINVITE" + tt.want)
			lt.play("200 to INVITE | Record-Route: <sip:203.0.113.9;lr> -> answer, ACK\nACK" + tt.want)
			lt.Leg.updates = true
			lt.Leg.timer.start(lt.now, 90*time.Second, true)
			lt.play("deadline -> UPDATE\nUPDATE" + tt.want)
			lt.do(Send{Ref: 1, Method: sip.INFO})
			lt.play("INFO" + tt.want + "\nhangup shutdown -> BYE\nBYE" + tt.want)
		})
	}
}

// RFC 3261 section 12.2.1.2 and 12.2.2, RFC 3311 section 5: a re-INVITE or UPDATE of either
// side refreshes the remote target with its Contact. A refusal does not.
func TestTargetRefresh(t *testing.T) {
	const at = " | Contact: <sip:new@192.0.2.99:5077>"
	const became, stayed = "BYE has URI: sip:new@192.0.2.99:5077 | Route:  | Hop: 192.0.2.99:5077", "BYE has URI: sip:agent@192.0.2.20:5099;a=b"
	for _, tt := range []struct{ refresh, want string }{
		{"INVITE 7" + at + " ; accept ; ACK 7", became},
		{"UPDATE 7" + at, became},
		{"offer X ; 200 to INVITE" + at, became},
		{"deadline ; 200 to UPDATE" + at, became},
		{"offer X ; 488 to INVITE" + at, stayed},
	} {
		t.Run(tt.refresh, func(t *testing.T) {
			lt := uacIn(t, "confirmed")
			if strings.HasPrefix(tt.refresh, "deadline") {
				lt.Leg.updates = true
				lt.Leg.timer.start(lt.now, 90*time.Second, true)
			}
			lt.play(tt.refresh + " ; hangup shutdown\n" + tt.want)
		})
	}
}

// RFC 3261 section 13.2.2.4: the route set of a UAC is the Record-Route of
// the 200 reversed, and the ACK follows it.
func TestUACRouting(t *testing.T) {
	const target = "sip:agent@192.0.2.20:5099;a=b"
	const contact = "Contact: <" + target + ">"
	for _, tt := range []struct{ name, headers, want string }{
		{"no route", contact, "URI: " + target + " | Route:  | Hop: 192.0.2.20:5099"},
		{"no contact", "X-None: x", "URI: sip:+15075785607@192.0.2.20:32681 | Route:  | Hop: " + siptest.Agent.String()},
		{"host name", "Contact: <sip:agent@media.example>", "URI: sip:agent@media.example | Route:  | Hop: media.example:5060"},
		{
			"IPv6", "Contact: <sip:agent@[2001:db8::1]:5071>",
			"URI: sip:agent@[2001:db8::1]:5071 | Route:  | Hop: [2001:db8::1]:5071",
		},
		{
			"loose, reversed", contact + " | Record-Route: <sip:p1.example;lr> | Record-Route: <sip:192.0.2.2:5080;lr>",
			"URI: " + target + " | Route: <sip:192.0.2.2:5080;lr>, <sip:p1.example;lr> | Hop: 192.0.2.2:5080",
		},
		{
			"several values", contact + " | Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr> | Record-Route: <sip:192.0.2.2;lr>",
			"URI: " + target + " | Route: <sip:192.0.2.2;lr>, <sip:p2.example;lr>, <sip:p1.example;lr> | Hop: 192.0.2.2:5060",
		},
		{
			"strict", contact + " | Record-Route: <sip:p1.example;lr> | Record-Route: <sip:192.0.2.2:5080>",
			"URI: sip:192.0.2.2:5080 | Route: <sip:p1.example;lr>, <" + target + "> | Hop: 192.0.2.2:5080",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lt := uacIn(t, "calling")
			lt.play("200 agent | " + tt.headers + " -> answered+sdp, ACK\nACK has " + tt.want)
			lt.play("hangup caller_hangup\nBYE has CSeq: 2 BYE | " + tt.want)
		})
	}
}

// A retransmitted 200 gets the same ACK again, byte for byte.
func TestUACSameACKAgain(t *testing.T) {
	for _, state := range []string{"confirmed", "ending"} {
		lt := uacIn(t, "calling")
		ok := lt.ok("agent", "Contact: <sip:agent@192.0.2.20:5099>", "Record-Route: <sip:192.0.2.2;lr>")
		lt.do(ok)
		first, firstTo := lt.request(sip.ACK)
		if state == "ending" {
			lt.do(Hangup{Why: cause.CallerHangup})
		}
		lt.want(lt.do(ok), "ACK")
		again, to := lt.request(sip.ACK)
		if again.String() != first.String() || to != firstTo {
			t.Errorf("%s: ACK again:\n%s\nfirst:\n%s", state, again, first)
		}
		if again == first {
			t.Error("the same request object twice: the wire sets its destination")
		}
	}
}

// The 200 of another fork gets ACK and BYE in its own dialog. If that 200 is repeated, it
// gets only the ACK again. The call's own dialog is not affected.
func TestUACFork(t *testing.T) {
	const fork = "200 fork | Contact: <sip:other@192.0.2.21:5066> | Record-Route: <sip:192.0.2.2;lr> -> "
	const ofFork = " has Tag: fork | URI: sip:other@192.0.2.21:5066 | Route: <sip:192.0.2.2;lr> | Hop: 192.0.2.2:5060\n"
	uacIn(t, "confirmed").play(fork + "ACK, BYE\nACK" + ofFork + "BYE" + ofFork + fork + `ACK
200 to BYE -> nothing ; state confirmed
200 fork3 | X-None: x -> ACK, BYE
BYE has URI: sip:+15075785607@192.0.2.20:32681 # without Contact, that of the INVITE
hangup caller_hangup
BYE has Tag: agent | Hop: 192.0.2.20:5099`)
}

// Whether a Contact or route has an address or a name, it must not lead into this machine,
// nor behind the peer's NAT. In these cases the request goes to the source of the peer's
// messages.
func TestHopAt(t *testing.T) {
	outside, inside := netip.MustParseAddrPort("203.0.113.5:5060"), netip.MustParseAddrPort("127.0.0.1:5060")
	for _, tt := range []struct {
		addr, transport string
		peer            netip.AddrPort
		nat             config.NATMode
		want            string
	}{
		{"192.0.2.9", "", outside, config.NATOff, "192.0.2.9:99"},
		{"127.0.0.1", "", outside, config.NATOff, "203.0.113.5:5060"},
		{"127.0.0.1", "tcp", outside, config.NATOff, "203.0.113.5:99"},
		{"::1", "", outside, config.NATAuto, "203.0.113.5:5060"},
		{"::ffff:127.0.0.2", "", outside, config.NATAuto, "203.0.113.5:5060"},
		{"0.0.0.0", "", outside, config.NATOff, "203.0.113.5:5060"},
		{"127.0.0.2", "", inside, config.NATOff, "127.0.0.2:99"},
		{"127.0.0.2", "", netip.AddrPort{}, config.NATOff, "127.0.0.2:99"},
		{"198.51.100.1", "", outside, config.NATOff, "203.0.113.5:5060"}, // an address of this server
		{"198.51.100.1", "", netip.MustParseAddrPort("198.51.100.1:5080"), config.NATOff, "198.51.100.1:99"},
		{"10.0.0.1", "", outside, config.NATOff, "10.0.0.1:99"},
		{"10.0.0.1", "", outside, config.NATAuto, "203.0.113.5:5060"},
		{"192.0.2.9", "", outside, config.NATAuto, "192.0.2.9:99"},
		{"192.0.2.9", "", outside, config.NATOn, "203.0.113.5:5060"},
	} {
		d := Dialog{Source: tt.peer, nat: tt.nat, transport: tt.transport, own: netip.MustParseAddr("198.51.100.1")}
		for _, host := range []string{tt.addr, "name.example"} {
			got := d.nextHop(&sip.Uri{Scheme: "sip", Host: host, Port: 99}, tt.transport)
			if !got.Addr.IsValid() {
				got = got.At(netip.MustParseAddr(tt.addr))
			}
			if got.Addr.String() != tt.want {
				t.Errorf("%s, which is %s, of a peer at %v, nat %q: goes to %v; want %s", host, tt.addr, tt.peer, tt.nat, got.Addr, tt.want)
			}
		}
	}
}

// RFC 3263 section 4.1: a route without a transport parameter means UDP, even if the INVITE
// came over TCP. A Contact without the parameter keeps the transport of the dialog. A
// dialog over TLS never continues unencrypted.
func TestTransportOfRoutes(t *testing.T) {
	const source, contact = "192.0.2.10:41000", "sip:ann@192.0.2.10"
	for _, tt := range []struct {
		name, transport string
		routes          []string
		nat             config.NATMode
		to              Hop
	}{
		{"tcp, no route", "tcp", nil, config.NATOff, Hop{Transport: "tcp", Addr: netip.MustParseAddrPort("192.0.2.10:5060")}},
		{"tcp, loose", "tcp", []string{"<sip:192.0.2.1;lr>"}, config.NATOff, Hop{Addr: netip.MustParseAddrPort("192.0.2.1:5060")}},
		{"tcp, strict", "tcp", []string{"<sip:192.0.2.1:5090>"}, config.NATOff, Hop{Addr: netip.MustParseAddrPort("192.0.2.1:5090")}},
		{"tcp, a name", "tcp", []string{"<sip:p1.example;lr>"}, config.NATOff, Hop{Host: "p1.example", Port: 5060}},
		{"tcp, named", "tcp", []string{"<sip:192.0.2.1;transport=TCP;lr>"}, config.NATOff, Hop{Transport: "tcp", Addr: netip.MustParseAddrPort("192.0.2.1:5060")}},
		{"tcp, sips", "tcp", []string{"<sips:192.0.2.1;lr>"}, config.NATOff, Hop{Transport: "tls", Addr: netip.MustParseAddrPort("192.0.2.1:5061")}},
		{"tcp, behind NAT", "tcp", []string{"<sip:10.0.0.1;lr>"}, config.NATOn, Hop{Transport: "tcp", Addr: netip.MustParseAddrPort("192.0.2.10:5060")}},
		{"tcp, named udp, behind NAT", "tcp", []string{"<sip:10.0.0.1;transport=udp;lr>"}, config.NATOn, Hop{Addr: netip.MustParseAddrPort("192.0.2.10:5060")}},
		{"tls, loose", "tls", []string{"<sip:192.0.2.1;lr>"}, config.NATOff, Hop{Transport: "tls", Addr: netip.MustParseAddrPort("192.0.2.1:5061")}},
		{"udp, loose", "", []string{"<sip:192.0.2.1;lr>"}, config.NATOff, Hop{Addr: netip.MustParseAddrPort("192.0.2.1:5060")}},
		{"udp, named tcp", "", []string{"<sip:192.0.2.1;transport=tcp;lr>"}, config.NATOff, Hop{Transport: "tcp", Addr: netip.MustParseAddrPort("192.0.2.1:5060")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Dialog{transport: tt.transport, Source: netip.MustParseAddrPort(source), RemoteTarget: contact, routeSet: tt.routes, nat: tt.nat}
			_, to := d.routing(&sip.Uri{})
			if to.back = nil; to != tt.to {
				t.Errorf("goes to %+v; want %+v", to, tt.to)
			}
		})
	}
}
