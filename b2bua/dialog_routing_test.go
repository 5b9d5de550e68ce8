package b2bua

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/internal/siptest"
	"flowbridge/store"
)

// RFC 3261 section 12.2.1.1: what we send within a dialog follows its route
// set, loosely or by way of a strict router, on both sides; so does the ACK of a
// re-INVITE (section 13.2.2.4).
func TestRoutingWithinDialogs(t *testing.T) {
	routes := []string{"Record-Route: <sip:192.0.2.1;lr>", "Record-Route: <sip:192.0.2.2:5090;lr>"}
	strict := []string{"Record-Route: <sip:192.0.2.1>", "Record-Route: <sip:192.0.2.2:5090>"}
	first, second := hop{addr: netip.MustParseAddrPort("192.0.2.1:5060")}, hop{addr: netip.MustParseAddrPort("192.0.2.2:5090")}
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
		to        hop
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
			lt.leg.updates = true
			lt.leg.timer.start(lt.now, 90*time.Second, true)
			lt.want(lt.deadline(), "UPDATE")
			want(sip.UPDATE)
			lt.do(Send{Ref: 1, Method: sip.INFO})
			want(sip.INFO)
			lt.want(lt.do(Hangup{Why: CauseShutdown}), "BYE")
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
			lt.leg.updates = true
			lt.leg.timer.start(lt.now, 90*time.Second, true)
			lt.deadline()
			in := lt.answerWithin(sip.UPDATE, 200)
			in.Res.AppendHeader(parsedContact(t, contact))
			lt.do(in)
		}},
	} {
		t.Run(refresh.name, func(t *testing.T) {
			lt := uacIn(t, "confirmed")
			refresh.do(lt, "sip:new@192.0.2.99:5077")
			lt.do(Hangup{Why: CauseShutdown})
			bye, to := lt.request(sip.BYE)
			checkRouting(t, bye, to, "sip:new@192.0.2.99:5077", nil, hop{addr: netip.MustParseAddrPort("192.0.2.99:5077")})
		})
	}
	lt := uacIn(t, "confirmed")
	lt.do(Offer{Ref: 1, SDP: []byte("v=0")})
	in := lt.answerWithin(sip.INVITE, 488)
	in.Res.AppendHeader(parsedContact(t, "sip:new@192.0.2.99:5077"))
	lt.do(in)
	if got := lt.leg.dialog.RemoteTarget; strings.Contains(got, "new") {
		t.Errorf("a refusal changed the target to %s", got)
	}
}

func parsedContact(t *testing.T, uri string) sip.Header {
	t.Helper()
	return &sip.ContactHeader{Address: parseURI(uri)}
}

// A proxy that recorded its route is where everything goes.
func TestProxiesOnBothSides(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		before, behind := w.peer(netip.MustParseAddrPort("192.0.2.30:5060")), w.peer(netip.MustParseAddrPort("192.0.2.31:5070"))
		w.others = append(w.others, before, behind)
		d := w.carrier.newCall("+15075785607")
		d.extra = "Record-Route: <sip:192.0.2.30;lr>\nAllow: UPDATE\nSupported: timer\nSession-Expires: 90;refresher=uas\n"
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		d.extra = ""
		in := w.agent.expect("INVITE")
		w.agent.reply(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"), "Record-Route: <sip:192.0.2.31:5070;lr>")
		behind.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		c := w.talkOf(d, in)
		time.Sleep(10 * time.Second)
		update := before.expect("UPDATE sip:ann@192.0.2.10:5060")
		before.reply(update, 200, "OK", "", "", "Session-Expires: 1800;refresher=uac")
		seq := c.carrier.offers("INVITE", c.carrier.pcma())
		re := behind.expect("INVITE sip:agent@192.0.2.20:32681")
		behind.reply(re, 200, "OK", "", siptest.SessionAt("192.0.2.20", 30000, "8 101"))
		behind.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		c.carrier.acks(seq, "")
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		behind.reply(behind.expect("BYE"), 200, "OK", "", "")
		w.wantRecord("answered", CauseCallerHangup, store.EndedByCaller)
	})
}

// RFC 3261 section 15.1.1: a BYE that can't be sent, or that nobody answers,
// ends in time all the same.
func TestContactThatCanNotBeReached(t *testing.T) {
	for _, contact := range []string{"sip:agent@nowhere.invalid", "sip:agent@203.0.113.250:5060", "sip:agent@192.0.2.20:1;transport=tcp", "sip:agent@[2001:db8::1]"} {
		t.Run(contact, func(t *testing.T) {
			inWorldWith(t, talkYAML("", ""), func(w *world) {
				c := w.talk(nil, nil)
				c.agent.p.send(strings.Replace(c.agentUpdate(1), "<sip:agent@192.0.2.20:32681>", "<"+contact+">", 1))
				w.agent.expect("SIP/2.0 200")
				c.carrier.offers("INVITE", c.carrier.pcma()) // nor can a re-INVITE
				time.Sleep(time.Minute)
				m := w.carrier.expect("SIP/2.0 487")
				c.carrier.ackRefusal(m)
				time.Sleep(time.Minute)
				w.carrier.rest()
				w.wantRecord("answered", CauseDialogLost, store.EndedBySystem)
				if _, lines := w.server.registry.counts(); lines > 1 { // the carrier's BYE is not answered
					t.Errorf("%d legs are left", lines)
				}
			})
		})
	}
}

// agentUpdate is an UPDATE of the agent without session description, as text.
func (c *talk) agentUpdate(seq int) string {
	return fmt.Sprintf("UPDATE sip:198.51.100.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20:32681;branch=z9hG4bKagentU%[1]d\n"+
		"Max-Forwards: 70\nFrom: %[2]s;tag=agent1\nTo: %[3]s\nCall-ID: %[4]s\nCSeq: %[1]d UPDATE\nContact: <sip:agent@192.0.2.20:32681>\nContent-Length: 0\n\n",
		seq, c.invite.value("To"), c.invite.value("From"), c.invite.value("Call-ID"))
}
