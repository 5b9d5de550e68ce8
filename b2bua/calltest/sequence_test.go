package calltest

import (
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// If requests arrive in the wrong order, all of them are still carried out.
func TestReorderedRequests(t *testing.T) {
	inWorldWith(t, digitsConfig("relay"), func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.send(d.inDialog("INFO", 3, "", "Info-Package: second"))
		w.carrier.send(d.inDialog("INFO", 2, "", "Info-Package: first"))
		for _, want := range []string{"first", "second"} {
			info := w.agent2.expect("INFO")
			if info.value("Info-Package") != want {
				t.Errorf("want the %s:\n%s", want, info.raw)
			}
			w.agent2.reply(info, 200, "OK", "", "")
		}
		w.carrier.expect("SIP/2.0 200")
		w.carrier.expect("SIP/2.0 200")
		d.later = 2
		w.callerEnds(w.agent2, d)
	})
	inWorldWith(t, transferConfig, func(w *world) { // the agent's BYE arrives before its REFER
		_, invite := w.established()
		w.agent.agentRequest("BYE", invite, "agent1", 11)
		w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <tel:4711>", "Refer-Sub: false")
		for range 2 {
			w.agent.expect("SIP/2.0 20")
		}
		called := w.agent2.expect("INVITE")
		w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		time.Sleep(time.Second)
		w.agent2.agentHangsUpOn(w.carrier, called, "human", 5)
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// A re-INVITE waits because an earlier CSeq is missing. If it is cancelled, it is refused, and not accepted a moment
// later.
func TestCancelledBehindAGap(t *testing.T) {
	inTalk(t, "", "reinvite: relay", func(c *talk) {
		c.d.later = 1 // so that this is not the first request of the dialog
		c.carrier.offers("UPDATE", "")
		c.carrier.p.expect("SIP/2.0 200")
		c.d.later++ // a request that was lost
		seq := c.carrier.offers("INVITE", siptest.SessionAt(c.carrier.address, 42000, "0 101"))
		c.carrier.p.expect("SIP/2.0 100")
		c.carrier.cancels(seq)
		c.carrier.p.expect("SIP/2.0 200")
		c.carrier.ackRefusal(c.carrier.p.expect("SIP/2.0 487"))
		in := c.agent.p.expect("INVITE") // our INVITE to the other side, because the re-INVITE was passed on already
		c.agent.p.reply(in, 100, "Trying", "", "")
		time.Sleep(10 * time.Second) // longer than the cancelled transaction lasts
		c.agent.p.concludes(in, 200, "OK", "", siptest.SessionAt(c.agent.address, 44000, "0 101"))
		c.agent.takes(siptest.SessionAt(c.agent.address, 30000, "0 101")) // the old session again
		c.carrier.p.silent(time.Second)
	})
}

// A re-INVITE whose CANCEL comes before its turn is refused, and the other side gets the old session again.
func TestCancelledBeforeItsTurn(t *testing.T) {
	inTalk(t, "", "reinvite: relay", func(c *talk) {
		c.d.later = 1
		c.carrier.offers("UPDATE", "")
		c.carrier.p.expect("SIP/2.0 200")
		c.d.later++ // a request that was lost
		seq := c.carrier.offers("INVITE", siptest.SessionAt(c.carrier.address, 42000, "0 101"))
		c.carrier.cancels(seq)
		c.carrier.p.expect("SIP/2.0 200")
		c.carrier.ackRefusal(c.carrier.p.expect("SIP/2.0 487"))
		c.agent.takes(siptest.SessionAt(c.agent.address, 44000, "0 101"))
		c.agent.takes(siptest.SessionAt(c.agent.address, 30000, "0 101"))
		c.carrier.p.silent(time.Second)
	})
}

// If an agent sends BYE without a 200, it gets no call (RFC 3261 section 15), and the next target is tried. If its BYE
// only overtook the 200, the call was answered and has ended.
func TestByeBeforeAnswer(t *testing.T) {
	tell(t, testConfig, `
== the BYE is answered before the 200 comes
carrier: calls 15085785607
agent: gets INVITE ; says 180
carrier: gets 180
agent: says BYE ; gets 200 ; takes to INVITE ; gets BYE ; says 481
spare: gets INVITE ; says 486 ; gets ACK
carrier: gets 486 ; acks
record: busy target_busy agent | attempts: agent agent_hangup, spare target_busy`)
	inWorld(t, func(w *world) {
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		w.agent.agentRequest("BYE", invite, "agent1", 2)
		w.agent.takes(invite, "agent1")
		w.agent.expect("SIP/2.0 200")
		w.carrier.isAnswered(d)
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}
