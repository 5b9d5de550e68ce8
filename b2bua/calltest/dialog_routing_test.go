package calltest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// On both sides all requests go through the proxies that added a Record-Route.
func TestProxiesOnBothSides(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		before, behind := w.peer(netip.MustParseAddrPort("192.0.2.30:5060")), w.peer(netip.MustParseAddrPort("192.0.2.31:5070"))
		w.others = append(w.others, before, behind)
		d := w.carrier.newCall("+15075785607")
		d.extra = "Record-Route: <sip:192.0.2.30;lr>\nAllow: UPDATE\nSupported: timer\nSession-Expires: 90;refresher=uas\n"
		w.carrier.invitesTillRung(d)
		d.extra = ""
		in := w.agent.expect("INVITE")
		w.agent.reply(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"), "Record-Route: <sip:192.0.2.31:5070;lr>")
		behind.expect("ACK")
		w.carrier.isAnswered(d)
		c := w.talkOf(d, in)
		time.Sleep(10 * time.Second)
		update := before.expect("UPDATE sip:ann@192.0.2.10:5060")
		before.reply(update, 200, "OK", "", "", "Session-Expires: 1800;refresher=uac")
		seq := c.carrier.offers("INVITE", c.carrier.pcma())
		re := behind.expect("INVITE sip:agent@192.0.2.20:32681")
		behind.concludes(re, 200, "OK", "", siptest.SessionAt("192.0.2.20", 30000, "8 101"))
		w.carrier.expect("SIP/2.0 200")
		c.carrier.acks(seq, "")
		w.callerEnds(behind, d)
	})
}

// RFC 3261 section 15.1.1: if a BYE can't be sent, or gets no answer, the call still ends
// in time.
func TestContactThatCanNotBeReached(t *testing.T) {
	for _, contact := range []string{"sip:agent@nowhere.invalid", "sip:agent@203.0.113.250:5060", "sip:agent@192.0.2.20:1;transport=tcp", "sip:agent@[2001:db8::1]"} {
		runIn(t, contact, talkYAML("", ""), func(w *world) {
			c := w.talk(nil, nil)
			c.agent.p.send(strings.Replace(c.agentUpdate(1), "<sip:agent@192.0.2.20:32681>", "<"+contact+">", 1))
			w.agent.expect("SIP/2.0 200")
			c.carrier.offers("INVITE", c.carrier.pcma()) // a re-INVITE can't be sent either
			time.Sleep(time.Minute)
			m := w.carrier.expect("SIP/2.0 487")
			c.carrier.ackRefusal(m)
			time.Sleep(time.Minute)
			byes := w.carrier.rest()
			w.wantRecord("answered", cause.DialogLost, record.EndedBySystem)
			w.carrier.reply(byes[0], 200, "OK", "", "")
			synctest.Wait()
			if !w.server.Idle() {
				w.t.Error("the leg to the contact is left")
			}
		})
	}
}

// agentUpdate returns an UPDATE of the agent without session description, as text.
func (c *talk) agentUpdate(seq int) string {
	return fmt.Sprintf("UPDATE sip:198.51.100.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20:32681;branch=z9hG4bKagentU%[1]d\n"+
		"Max-Forwards: 70\nFrom: %[2]s;tag=agent1\nTo: %[3]s\nCall-ID: %[4]s\nCSeq: %[1]d UPDATE\nContact: <sip:agent@192.0.2.20:32681>\nContent-Length: 0\n\n",
		seq, c.invite.value("To"), c.invite.value("From"), c.invite.value("Call-ID"))
}
