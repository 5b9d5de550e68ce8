package leg

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/internal/siptest"
)

// RFC 3261 section 12.2.1.1: what we send within a dialog follows its route
// set, loosely or by way of a strict router, on both sides; so does the ACK of a
// re-INVITE (section 13.2.2.4).
func TestRoutingWithinDialogs(t *testing.T) {
	routes := []string{"Record-Route: <sip:192.0.2.1;lr>", "Record-Route: <sip:192.0.2.2:5090;lr>"}
	strict := []string{"Record-Route: <sip:192.0.2.1>", "Record-Route: <sip:192.0.2.2:5090>"}
	first, second := Hop{Addr: netip.MustParseAddrPort("192.0.2.1:5060")}, Hop{Addr: netip.MustParseAddrPort("192.0.2.2:5090")}
	uas := func(headers ...string) *legTest {
		lt := newUAS(t, headers...)
		lt.do(Answer{SDP: []byte("v=0")}, inDialog(t, "ACK", 10))
		return lt
	}
	uac := func(headers ...string) *legTest {
		lt := uacIn(t, "calling")
		lt.do(lt.ok("agent", append([]string{"Contact: <sip:agent@192.0.2.20:5099>"}, headers...)...))
		return lt
	}
	ann, agent := "sip:ann@192.0.2.10:5070;x=y", "sip:agent@192.0.2.20:5099"
	for _, tt := range []struct {
		name      string
		lt        func() *legTest
		recipient string
		routes    []string
		to        Hop
	}{
		{"caller, loose", func() *legTest { return uas(routes...) }, ann, []string{"<sip:192.0.2.1;lr>", "<sip:192.0.2.2:5090;lr>"}, first},
		{"caller, strict", func() *legTest { return uas(strict...) }, "sip:192.0.2.1", []string{"<sip:192.0.2.2:5090>", "<" + ann + ">"}, first},
		{"target, loose", func() *legTest { return uac(routes...) }, agent, []string{"<sip:192.0.2.2:5090;lr>", "<sip:192.0.2.1;lr>"}, second},
		{"target, strict", func() *legTest { return uac(strict...) }, "sip:192.0.2.2:5090", []string{"<sip:192.0.2.1>", "<" + agent + ">"}, second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lt := tt.lt()
			lt.t = t
			want := func(method sip.RequestMethod) {
				t.Helper()
				req, to := lt.request(method)
				checkRouting(t, req, to, tt.recipient, tt.routes, tt.to)
			}
			lt.want(lt.do(Offer{Ref: 1, SDP: []byte("v=0")}), "INVITE")
			want(sip.INVITE)
			lt.want(lt.do(lt.answerWithin(sip.INVITE, 200, "Record-Route: <sip:203.0.113.9;lr>")), "answer, ACK") // changes no route set
			want(sip.ACK)
			lt.Leg.updates = true
			lt.Leg.timer.start(lt.now, 90*time.Second, true)
			lt.want(lt.deadline(), "UPDATE")
			want(sip.UPDATE)
			lt.do(Send{Ref: 1, Method: sip.INFO})
			want(sip.INFO)
			lt.want(lt.do(Hangup{Why: cause.Shutdown}), "BYE")
			want(sip.BYE)
		})
	}
}

// RFC 3261 section 12.2.1.2 and 12.2.2, RFC 3311 section 5: re-INVITE and
// UPDATE refresh the target, of either side, whoever sends them; a refusal does
// not.
func TestTargetRefresh(t *testing.T) {
	for _, refresh := range []struct {
		name string
		do   func(lt *legTest, contact string)
	}{
		{"their re-INVITE", func(lt *legTest, contact string) {
			in := agentDialog(t, lt, "INVITE", 7)
			in.Req.AppendHeader(parsedContact(t, contact))
			lt.do(in, Accept{SDP: []byte("v=0")}, agentDialog(t, lt, "ACK", 7))
		}},
		{"their UPDATE", func(lt *legTest, contact string) {
			in := agentDialog(t, lt, "UPDATE", 7)
			in.Req.AppendHeader(parsedContact(t, contact))
			lt.do(in)
		}},
		{"our re-INVITE", func(lt *legTest, contact string) {
			lt.do(Offer{Ref: 1, SDP: []byte("v=0")})
			in := lt.answerWithin(sip.INVITE, 200)
			in.Res.AppendHeader(parsedContact(t, contact))
			lt.do(in)
		}},
		{"our UPDATE", func(lt *legTest, contact string) {
			lt.Leg.updates = true
			lt.Leg.timer.start(lt.now, 90*time.Second, true)
			lt.deadline()
			in := lt.answerWithin(sip.UPDATE, 200)
			in.Res.AppendHeader(parsedContact(t, contact))
			lt.do(in)
		}},
	} {
		t.Run(refresh.name, func(t *testing.T) {
			lt := uacIn(t, "confirmed")
			refresh.do(lt, "sip:new@192.0.2.99:5077")
			lt.do(Hangup{Why: cause.Shutdown})
			bye, to := lt.request(sip.BYE)
			checkRouting(t, bye, to, "sip:new@192.0.2.99:5077", nil, Hop{Addr: netip.MustParseAddrPort("192.0.2.99:5077")})
		})
	}
	lt := uacIn(t, "confirmed")
	lt.do(Offer{Ref: 1, SDP: []byte("v=0")})
	in := lt.answerWithin(sip.INVITE, 488)
	in.Res.AppendHeader(parsedContact(t, "sip:new@192.0.2.99:5077"))
	lt.do(in)
	if got := lt.Leg.dialog.RemoteTarget; strings.Contains(got, "new") {
		t.Errorf("a refusal changed the target to %s", got)
	}
}

func parsedContact(t *testing.T, uri string) sip.Header {
	t.Helper()
	return &sip.ContactHeader{Address: message.ParseURI(uri)}
}

// RFC 3261 section 13.2.2.4: the route set of a UAC is the Record-Route of
// the 200 reversed, and the ACK follows it.
func TestUACRouting(t *testing.T) {
	const contact = "Contact: <sip:agent@192.0.2.20:5099;a=b>"
	const target = "sip:agent@192.0.2.20:5099;a=b"
	for _, tt := range []struct {
		name      string
		headers   []string
		recipient string
		routes    []string
		to        Hop
	}{
		{"no route", []string{contact}, target, nil, Hop{Addr: netip.MustParseAddrPort("192.0.2.20:5099")}},
		{
			"no contact", []string{"X-None: x"}, "sip:+15075785607@192.0.2.20:32681", nil, Hop{Addr: siptest.Agent},
		},
		{
			"host name",
			[]string{"Contact: <sip:agent@media.example>"},
			"sip:agent@media.example", nil,
			Hop{Host: "media.example", Port: 5060},
		},
		{
			"IPv6",
			[]string{"Contact: <sip:agent@[2001:db8::1]:5071>"},
			"sip:agent@[2001:db8::1]:5071", nil,
			Hop{Addr: netip.MustParseAddrPort("[2001:db8::1]:5071")},
		},
		{
			"loose, reversed",
			[]string{contact, "Record-Route: <sip:p1.example;lr>", "Record-Route: <sip:192.0.2.2:5080;lr>"},
			target,
			[]string{"<sip:192.0.2.2:5080;lr>", "<sip:p1.example;lr>"},
			Hop{Addr: netip.MustParseAddrPort("192.0.2.2:5080")},
		},
		{
			"several values",
			[]string{contact, "Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>", "Record-Route: <sip:192.0.2.2;lr>"},
			target,
			[]string{"<sip:192.0.2.2;lr>", "<sip:p2.example;lr>", "<sip:p1.example;lr>"},
			Hop{Addr: netip.MustParseAddrPort("192.0.2.2:5060")},
		},
		{
			"strict",
			[]string{contact, "Record-Route: <sip:p1.example;lr>", "Record-Route: <sip:192.0.2.2:5080>"},
			"sip:192.0.2.2:5080",
			[]string{"<sip:p1.example;lr>", "<" + target + ">"},
			Hop{Addr: netip.MustParseAddrPort("192.0.2.2:5080")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lt := uacIn(t, "calling")
			lt.want(lt.do(lt.ok("agent", tt.headers...)), "answered+sdp, ACK")
			ack, to := lt.request(sip.ACK)
			checkRouting(t, ack, to, tt.recipient, tt.routes, tt.to)
			if ack.Via().Value() == lt.invite.Via().Value() {
				t.Error("the ACK of a 200 has the INVITE's branch (RFC 3261 section 17.1.1.3)")
			}
			lt.do(Hangup{Why: cause.CallerHangup})
			bye, to := lt.request(sip.BYE)
			checkRouting(t, bye, to, tt.recipient, tt.routes, tt.to)
			if bye.CSeq().SeqNo != 2 {
				t.Errorf("BYE has CSeq %d; want 2", bye.CSeq().SeqNo)
			}
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

// The 200 of another fork gets ACK and BYE of its own dialog; repeated, only
// the ACK.
func TestUACFork(t *testing.T) {
	lt := uacIn(t, "confirmed")
	fork := lt.ok("fork", "Contact: <sip:other@192.0.2.21:5066>", "Record-Route: <sip:192.0.2.2;lr>")
	lt.want(lt.do(fork), "ACK, BYE")
	ack, ackTo := lt.request(sip.ACK)
	bye, byeTo := lt.request(sip.BYE)
	for _, req := range []*sip.Request{ack, bye} {
		if message.TagOf(req.To().Params) != "fork" || req.Recipient.String() != "sip:other@192.0.2.21:5066" ||
			req.Route() == nil || req.Route().Value() != "<sip:192.0.2.2;lr>" {
			t.Errorf("%s is not of the fork's dialog:\n%s", req.Method, req)
		}
	}
	if want := (Hop{Addr: netip.MustParseAddrPort("192.0.2.2:5060")}); ackTo != want || byeTo != want {
		t.Errorf("go to %+v and %+v; want %+v", ackTo, byeTo, want)
	}
	lt.want(lt.do(fork), "ACK")
	lt.want(lt.do(responseToBye(bye, 200)), "")
	if lt.Leg.state != legConfirmed {
		t.Errorf("the answer to the fork's BYE changed the state to %d", lt.Leg.state)
	}
	lt.want(lt.do(lt.ok("fork3")), "ACK, BYE")

	// The call's own dialog is untouched.
	lt.do(Hangup{Why: cause.CallerHangup})
	bye, to := lt.request(sip.BYE)
	if message.TagOf(bye.To().Params) != "agent" || to != (Hop{Addr: netip.MustParseAddrPort("192.0.2.20:5099")}) {
		t.Errorf("BYE to %+v:\n%s", to, bye)
	}
}

// A Contact or route leads to the source of the peer's messages, not into this machine,
// and not behind the peer's NAT: as an address, and as a name that is looked up.
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
		{"198.51.100.1", "", outside, config.NATOff, "203.0.113.5:5060"}, // this server's own
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

// RFC 3263 section 4.1: a route without a transport is reached over UDP, whatever the
// INVITE came by. The peer's own Contact without one is reached as before, and what came
// by TLS is not continued in clear.
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
