package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/internal/memnet"
	"flowbridge/internal/siptest"
	"flowbridge/store/record"
)

func TestCallOverTCP(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		agents := w.streamAgent(agentAddr)
		carrier := w.connect(carrierAddr.Addr())
		d := carrier.dials("+15075785607")
		ringing := d.learn(carrier.expect("SIP/2.0 180"))
		if got := ringing.value("Contact"); got != "<sip:198.51.100.1:5060;transport=tcp>" {
			t.Errorf("Contact %s", got)
		}
		agent := agents.accept()
		invite := agent.expect("INVITE")
		if via := invite.value("Via"); !strings.HasPrefix(via, "SIP/2.0/TCP 198.51.100.1:5060;") {
			t.Errorf("Via %s", via)
		}
		if got := invite.value("Contact"); got != "<sip:198.51.100.1:5060;transport=tcp>" {
			t.Errorf("Contact %s", got)
		}
		carrier.isTakenBy(agent, invite, "agent1", d)
		agent.agentRequest("BYE", invite, "agent1", 1)
		agent.expect("SIP/2.0 200")
		bye := carrier.expect("BYE")
		carrier.reply(bye, 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// A connection that dies while the phone rings does not lose the call: the
// answer goes to where the caller's Via says (RFC 3261 section 18.2.2).
func TestCarrierConnectionDiesWhileRinging(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		home := w.streamAgent(carrierAddr)
		carrier := w.connect(carrierAddr.Addr())
		d, invite := carrier.callsAt(w.agent2, "+15095785607")
		carrier.conn.(*memnet.Stream).Reset()
		synctest.Wait()
		w.agent2.takes(invite, "agent1")
		again := home.accept()
		again.isAnswered(d)
		again.hangsUpOn(w.agent2, d)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// A caller that can't be connected to, but connects again, gets its answer
// over the new connection, and its CANCEL works there too.
func TestCarrierConnectsAgainWhileRinging(t *testing.T) {
	for _, cancel := range []bool{false, true} {
		inWorldWith(t, streamConfig, func(w *world) {
			carrier := w.connect(carrierAddr.Addr())
			d := carrier.dialsTillRung("+15095785607")
			invite := w.agent2.progresses(180, "Ringing", "agent1", "")
			carrier.conn.(*memnet.Stream).Reset()
			again := w.connect(carrierAddr.Addr())
			if cancel {
				again.givesUp(d)
				w.agent2.takesCancel(invite, "agent1")
				w.wantRecord(record.DispositionCancelled, cause.CallerCancelled, record.EndedByCaller)
				return
			}
			again.send(siptest.OptionsOverTCP)
			again.expect("SIP/2.0 200")
			again.isTakenBy(w.agent2, invite, "agent1", d)
			w.agent2.agentHangsUpOn(again, invite, "agent1", 1)
			w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
		})
	}
}

// A connection that dies in mid-call is replaced when one side hangs up.
func TestConnectionsDieInMidCall(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		home, agents := w.streamAgent(carrierAddr), w.streamAgent(agentAddr)
		carrier := w.connect(carrierAddr.Addr())
		d := carrier.dialsTillRung("+15075785607")
		agent := agents.accept()
		invite := agent.expect("INVITE")
		carrier.isTakenBy(agent, invite, "agent1", d)
		carrier.conn.(*memnet.Stream).Reset()
		agent.conn.(*memnet.Stream).Reset()
		time.Sleep(10 * time.Minute)
		w.server.HangupAll()
		carrier, agent = home.accept(), agents.accept()
		hungUpOn(carrier, agent)
		w.wantRecord(record.DispositionAnswered, cause.Shutdown, record.EndedBySystem)
	})
}

// The target's connection dies while it rings: the INVITE goes over another,
// where the target takes it for a retransmission; its refusal is acknowledged.
func TestTargetConnectionDiesWhileRinging(t *testing.T) {
	for _, code := range []int{200, 486} {
		inWorldWith(t, streamConfig, func(w *world) {
			agents := w.streamAgent(agentAddr)
			d := w.carrier.dialsTillRung("+15075785607")
			agent := agents.accept()
			invite := agent.progresses(180, "Ringing", "agent1", "")
			synctest.Wait()
			agent.conn.(*memnet.Stream).Reset()
			agent = agents.accept()
			if again := agent.expect("INVITE"); again.raw != invite.raw {
				t.Errorf("the INVITE changed:\n%s\n%s", invite.raw, again.raw)
			}
			if code == 486 {
				w.carrier.isBusyAt(agent, invite, "agent1", d)
				w.wantRecord(record.DispositionBusy, cause.TargetBusy, record.EndedByAgent)
				return
			}
			w.shortCall(agent, invite, "agent1", d)
		})
	}
}

// A target that dies for good while it rings is the next target's turn.
func TestTargetGoneForGood(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		agents := w.streamAgent(agentAddr)
		d := w.carrier.dialsTillRung("+15085785607")
		agent := agents.accept()
		agent.reply(agent.expect("INVITE"), 180, "Ringing", "agent1", "")
		synctest.Wait()
		agents.l.Close()
		agent.conn.(*memnet.Stream).Reset()
		r := w.shortCall(w.agent2, w.agent2.expect("INVITE"), "agent2", d)
		if len(r.Attempts) != 2 || r.Attempts[0].Cause != string(cause.TargetUnreachable) {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}
