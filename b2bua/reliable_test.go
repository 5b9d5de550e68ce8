package b2bua

import (
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/store"
)

// The target answers and hangs up while the caller's PRACK is awaited, which
// the 200 has to wait for (RFC 3262 section 3): the INVITE is refused.
func TestAgentHangsUpBeforePRACK(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.extra = "Supported: 100rel\n"
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		w.agent.reply(invite, 183, "Session Progress", "agent1", agentSDP())
		w.carrier.expect("SIP/2.0 183")
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.agent.agentRequest("BYE", invite, "agent1", 7)
		w.agent.expect("SIP/2.0 200")
		w.carrier.expect("SIP/2.0 480")
		w.carrier.ackRefused(d)
		synctest.Wait()
		r := w.wantRecord(store.DispositionNoAnswer, cause.AgentHangup, store.EndedByAgent)
		if r.SIPStatus != 480 || !r.AnsweredAt.IsZero() {
			t.Errorf("record %+v", r)
		}
	})
}
