package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/store/record"
)

// A request of the caller to the agent gets an answer when the agent hands the
// caller over and goes.
func TestTransferAnswersWhatTheAgentWasAsked(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		inWorldWith(t, transferConfig, func(w *world) {
			d, invite := w.established()
			w.carrier.within(d, "INFO", "", "Info-Package: x")
			w.agent.expect("INFO")
			w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <sip:bob@192.0.2.21:32681>", "Refer-Sub: false")
			w.agent.expect("SIP/2.0 202")
			called := w.agent2.expect("INVITE sip:bob@192.0.2.21:32681")
			if leaves {
				w.agent.agentRequest("BYE", invite, "agent1", 11)
				w.agent.expect("SIP/2.0 200")
				w.carrier.expect("SIP/2.0 480")
			}
			w.agent2.concludes(called, 200, "OK", "bob", sdpAt("192.0.2.21", 41000))
			if !leaves {
				w.carrier.expect("SIP/2.0 480")
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			}
			w.agent.drainFor(time.Minute) // INFO goes on
			w.carrier.hangsUpOn(w.agent2, d)
			w.record()
		})
	}
}

// referred has the agent ask for a transfer, which is accepted.
func (w *world) referred(invite received, to string, headers ...string) {
	w.t.Helper()
	w.agent.agentRequest("REFER", invite, "agent1", 10, append(headers, "Refer-To: "+to)...)
	w.agent.expect("SIP/2.0 202")
	w.agent.notified("100", "active")
}

// takenByPBX has the PBX answer, and the agent hear of it and leave.
func (w *world) takenByPBX(called received) {
	w.t.Helper()
	w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
	w.agent.notified("200", "terminated")
	w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
	synctest.Wait()
}

// A request of the caller to an agent that leaves with the transfer is answered.
// Later requests go to the new target.
func TestTransferAnswersWhatIsPending(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "<tel:4711>")
		called := w.agent2.expect("INVITE")
		w.carrier.within(d, "INFO", "", "Info-Package: x")
		info := w.agent.expect("INFO")
		w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		if got := w.carrier.expect("SIP/2.0 480"); got.value("CSeq") != "2 INFO" {
			t.Errorf("answer:\n%s", got.raw)
		}
		w.agent.notified("200", "terminated")
		w.agent.reply(info, 200, "OK", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.carrier.within(d, "INFO", "", "Info-Package: x")
		w.agent2.reply(w.agent2.expect("INFO"), 200, "OK", "", "")
		w.carrier.expect("SIP/2.0 200")
		w.callerEnds(w.agent2, d)
	})
}

// An agent that has left is sent nothing more, and its place at the target is
// free; early media that came before is heard then.
func TestTransferGoesOnWithoutAgent(t *testing.T) {
	for name, early := range map[string]bool{"early media": true, "none": false} {
		runIn(t, name, transferConfig, func(w *world) {
			_, invite := w.established()
			w.referred(invite, "<tel:4711>")
			called := w.agent2.expect("INVITE")
			want := media.Peer{}.RTP
			if early {
				w.agent2.reply(called, 183, "Session Progress", "human", sdpAt("192.0.2.21", 41000))
				w.agent.notified("183", "active")
			}
			w.agent.agentRequest("BYE", invite, "agent1", 11)
			w.agent.expect("SIP/2.0 200")
			if got := w.relay.sessions[0].peers[media.SideB].RTP; (got != want) != early || (early && got.Port() != 41000) {
				w.t.Errorf("media of side B goes to %v", got)
			}
			w.hears(ringing)
			if n := w.admission.Open().Targets["agent"]; n != 0 {
				w.t.Errorf("the agent has %d calls", n)
			}
			w.agent2.concludes(called, 486, "Busy Here", "human", "")
			w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
			w.wantRecord(record.DispositionAnswered, cause.TransferFailed, record.EndedBySystem)
		})
	}
}

// A human that is called is not put on hold because the agent holds the caller.
func TestTransferAfterRelayedHold(t *testing.T) {
	inWorldWith(t, strings.Replace(transferConfig, "transfer: local", "transfer: local\n    reinvite: relay", 1), func(w *world) {
		d, invite := w.established()
		w.agent.agentSends("INVITE", invite, "agent1", 8, agentSDP()[:strings.Index(agentSDP(), "a=sendrecv")]+"a=sendonly\r\n")
		hold := w.carrier.expect("INVITE")
		w.carrier.concludes(hold, 200, "OK", "", strings.Replace(callerSDP(), "sendrecv", "recvonly", 1))
		w.agent.expect("SIP/2.0 200")
		w.agent.agentRequest("ACK", invite, "agent1", 8)
		w.referred(invite, "<tel:4711>")
		called := w.agent2.expect("INVITE")
		if strings.Contains(called.raw, "a=recvonly") || strings.Contains(called.raw, "a=sendonly") {
			t.Errorf("the human is offered a held call:\n%s", called.raw)
		}
		w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		w.agent.notified("200", "terminated")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		resumed := w.carrier.expect("INVITE")
		w.carrier.concludes(resumed, 200, "OK", "", callerSDP())
		for side, p := range w.relay.sessions[0].peers {
			if p.Held || !p.RTP.IsValid() {
				t.Errorf("side %d: %+v", side, p)
			}
		}
		w.callerEnds(w.agent2, d)
	})
}

// While somebody is called for a transfer the codec stays as it was offered.
func TestTransferKeepsCodec(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "<tel:4711>")
		called := w.agent2.expect("INVITE")
		w.agent.agentSends("INVITE", invite, "agent1", 11, strings.Replace(agentSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1))
		refused := w.agent.expect("SIP/2.0 491")
		w.agent.send(strings.Replace(fmt.Sprintf("ACK sip:198.51.100.1:5060 SIP/2.0\nVia: %s\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: 11 ACK\nContent-Length: 0\n\n",
			refused.value("Via"), refused.value("From"), refused.value("To"), refused.value("Call-ID")), ";rport=32681", "", 1))
		w.takenByPBX(called)
		w.callerEnds(w.agent2, d)
	})
}
