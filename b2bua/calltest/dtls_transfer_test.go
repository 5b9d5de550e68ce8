package calltest

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/media/dtls"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// toDTLS is the transfer configuration with a PBX that accepts only DTLS.
var toDTLS = strings.Replace(transferConfig, "{{.To.Number}}@192.0.2.21:32681\"}", "{{.To.Number}}@192.0.2.21:32681\", "+dtlsYAML+"}", 1)

// answersDTLS makes the PBX answer an INVITE with DTLS, and returns the PBX's dtlsEnd.
func (w *world) answersDTLS(called received) *dtlsEnd {
	w.t.Helper()
	wantDTLS(w.t, called, "actpass")
	human := w.dtlsEnd(media.SideB, 9)
	w.agent2.concludes(called, 200, "OK", "human", human.describes("192.0.2.21", 41000, "active"))
	return human
}

// leavesPBX answers our BYE to a PBX whose call failed.
func (w *world) leavesPBX() { w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "") }

// After a transfer, the agent gets the report of success and a BYE only when the new target's handshake is complete.
func TestDTLSTransfer(t *testing.T) {
	inWorldWith(t, toDTLS, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "<tel:4711>")
		called := w.agent2.expect("INVITE")
		human := w.answersDTLS(called)
		w.agent.silent(time.Second)
		human.shakes(called, true)
		w.agent.notified("200", "terminated")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		human.agreed()
		w.callerHangsUpAt(w.agent2, d)
		if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Media.B.SRTP != gcm.String() || len(r.Attempts) != 2 || r.Attempts[1].SIPStatus != 200 {
			t.Errorf("record: %+v, %+v", r.Media, r.Attempts)
		}
	})
}

// If the handshake of a transfer's target fails, the target gets BYE, and the agent, which has waited, continues with
// the caller.
func TestDTLSTransferFails(t *testing.T) {
	for _, secured := range []bool{false, true} {
		yaml := strings.Replace(toDTLS, `  - {target: agent, to: "^4", trunks: [pbx, carrier]}`, `  - {target: agent, to: "^4", trunks: [pbx]}`, 1)
		if secured {
			yaml = strings.Replace(yaml, "    transfer: local\n", "    transfer: local\n    media: {srtp: required}\n", 1)
		}
		inWorldWith(t, yaml, func(w *world) {
			agentSays := agentSDP()
			if secured {
				agentSays = securedAt("192.0.2.20", 30000, cryptoAttr(2, gcm, 7))
			}
			d, invite := w.establishedTo(agentSays)
			keys := w.session().crypto[media.SideB]
			w.referred(invite, "<tel:4711>")
			w.answersDTLS(w.agent2.expect("INVITE"))
			w.agent.agentSends("UPDATE", invite, "agent1", 20, agentSays)
			w.agent.expect("SIP/2.0 491")
			w.carrier.within(d, "INFO", "", "Info-Package: x")
			w.carrier.expect("SIP/2.0 4")
			time.Sleep(dtls.Patience)
			w.leavesPBX()
			again := w.agent.expect("INVITE")
			w.agent.notified("488", "terminated")
			w.agent.concludes(again, 200, "OK", "", agentSays)
			s := w.session()
			if got := s.crypto[media.SideB]; s.peers[media.SideB].RTP.String() != "192.0.2.20:30000" || got.Awaited || !sameKeys(got.Receive, keys.Receive) || !sameKeys(got.Send, keys.Send) {
				t.Errorf("side B is at %v with %+v", s.peers[media.SideB].RTP, got)
			}
			w.callerHangsUp(d)
			if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); len(r.Attempts) != 2 || r.Attempts[1].Cause != string(cause.DTLSFailed) || r.Attempts[1].SIPStatus != 200 {
				t.Errorf("attempts: %+v", r.Attempts)
			}
		})
	}
}

// A transfer moves on to the next target if one target's handshake fails, or if the target hangs up during the
// handshake.
func TestDTLSTransferGoesOn(t *testing.T) {
	for name, leaves := range map[string]bool{"no handshake": false, "BYE": true} {
		runIn(t, name, toDTLS, func(w *world) {
			d, invite := w.established()
			w.referred(invite, "<tel:4711>")
			called := w.agent2.expect("INVITE")
			w.answersDTLS(called)
			began := time.Now()
			if leaves {
				w.agent2.agentRequest("BYE", called, "human", 1)
				w.agent2.expect("SIP/2.0 200")
			} else {
				time.Sleep(dtls.Patience)
				w.leavesPBX()
			}
			w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "", agentSDP())
			second := w.carrier.expect("INVITE sip:4711@192.0.2.10:5060")
			if waited := time.Since(began); leaves && waited > time.Second {
				t.Errorf("a target that has hung up was waited for: %v", waited)
			}
			w.carrier.concludes(second, 200, "OK", "second", sdpAt("192.0.2.10", 42000))
			w.agent.notified("200", "terminated")
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			w.carrier.hangsUpOn(w.carrier, d)
			w.record()
		})
	}
}

// If the process is killed while an agent waits for its transfer's target, the agent continues with the caller, with
// its own media, payload numbers and keys.
func TestDTLSTransferOverARestart(t *testing.T) {
	for name, agent := range map[string]struct{ media, says string }{
		"plain": {"", siptest.SessionAt("192.0.2.20", 30000, "0 96")},
		"SDES":  {"    media: {srtp: required}\n", securedAt("192.0.2.20", 30000, cryptoAttr(2, gcm, 7))},
		"DTLS":  {"    media: {srtp: required, srtp_keying: dtls}\n", ""},
	} {
		runIn(t, name, strings.Replace(toDTLS, "    transfer: local\n", "    transfer: local\n"+agent.media, 1), func(w *world) {
			phone := w.dtlsEnd(media.SideB, 8)
			if agent.says == "" {
				agent.says = phone.describes("192.0.2.20", 30000, "active")
			}
			d, invite := w.carrier.callsAt(w.agent, "+15075785607")
			w.agent.concludes(invite, 200, "OK", "agent1", agent.says)
			if synctest.Wait(); name == "DTLS" {
				phone.shakes(invite, true)
			}
			w.carrier.isAnswered(d)
			seq := w.carrier.reinvite(d, siptest.SessionAt("192.0.2.10", 20000, "0 100")) // the agent knows 101
			w.carrier.expect("SIP/2.0 200")
			w.carrier.ackOf(d, seq, "")
			synctest.Wait()
			peer, keys, numbers := w.session().peers[media.SideB], w.session().crypto[media.SideB], w.session().payloads
			w.referred(invite, "<tel:4711>")
			called := w.agent2.expect("INVITE")
			w.answersDTLS(called)
			w.restart()
			w.leavesPBX()
			again := w.agent.expect("INVITE")
			w.agent.notified("500", "terminated")
			synctest.Wait() // the answer to it sets the same state
			s := w.session()
			if got := s.peers[media.SideB]; got.RTP != peer.RTP || got.Mux != peer.Mux || !reflect.DeepEqual(s.payloads, numbers) {
				w.t.Errorf("side B is at %v with %v; before at %v with %v", got, s.payloads, peer, numbers)
			}
			if got := s.crypto[media.SideB]; got.Awaited || !sameKeys(got.Receive, keys.Receive) || !sameKeys(got.Send, keys.Send) || s.exposed || !s.forgot[media.SideB] {
				w.t.Errorf("side B has other keys: %+v; before %+v; forgot the target's: %v", got, keys, s.forgot)
			}
			w.agent.concludes(again, 200, "OK", "", agent.says)
			r := w.callerEnds(w.agent, d)
			if n := len(r.Attempts); n != 2 || r.Attempts[1].Cause != string(cause.ProcessRestart) || r.Attempts[1].SIPStatus != 200 ||
				r.Attempts[1].Reason != record.ReasonTransfer || r.Attempts[1].SIPCallID != called.value("Call-ID") {
				w.t.Errorf("attempts: %+v", r.Attempts)
			}
		})
	}
}

// Any party may hang up while the transfer's target is still in its handshake.
func TestDTLSTransferIsLeft(t *testing.T) {
	runIn(t, "caller", toDTLS, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "<tel:4711>")
		w.answersDTLS(w.agent2.expect("INVITE"))
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.agent.notified("487", "terminated")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.leavesPBX()
		w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
	})
	for name, heard := range map[string]bool{"agent, and the target is heard": true, "agent, and the target is not": false} {
		runIn(t, name, strings.Replace(toDTLS, "trunks: [pbx, carrier]", "trunks: [pbx]", 1), func(w *world) {
			d, invite := w.established()
			w.referred(invite, "<tel:4711>")
			called := w.agent2.expect("INVITE")
			human := w.answersDTLS(called)
			w.agent.agentRequest("BYE", invite, "agent1", 11)
			w.agent.expect("SIP/2.0 200")
			if n := w.admission.Open().Targets["agent"]; n != 0 {
				w.t.Errorf("the agent has %d calls", n)
			}
			if s := w.session(); len(s.heard) == 0 || strings.HasSuffix(s.heard[len(s.heard)-1], "hears nothing") {
				w.t.Errorf("the caller waits in silence: %q", s.heard)
			}
			if heard {
				human.shakes(called, true)
				human.agreed()
				w.callerEnds(w.agent2, d)
				return
			}
			time.Sleep(dtls.Patience)
			w.leavesPBX()
			w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
			w.wantRecord("answered", cause.TransferFailed, record.EndedBySystem)
		})
	}
}

// A rescue moves on to the next target if one target's handshake fails.
func TestDTLSRescueGoesOn(t *testing.T) {
	yaml := strings.NewReplacer("@RESCUE@", "trunks: [dtls, office], to: \"4711\"", "  - {name: office,",
		"  - {name: dtls, sources: [\"192.0.2.22\"], uri: \"sip:{{.To.Number}}@192.0.2.21:32681\", "+dtlsYAML+"}\n  - {name: office,").Replace(rescueConfig)
	inWorldWith(t, yaml, func(w *world) {
		d, invite := w.established()
		w.agentDies(time.Second, invite)
		w.answersDTLS(w.agent2.expect("INVITE"))
		w.carrier.silent(dtls.Patience - time.Second)
		time.Sleep(time.Second)
		w.leavesPBX()
		w.hears(ringing)
		w.takesOver("4711")
		r := w.callerEnds(w.agent2, d)
		if len(r.Attempts) != 3 || r.Attempts[1].Cause != string(cause.DTLSFailed) || r.Attempts[2].SIPStatus != 200 {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// establishedTo sets up a call like established, with this session description in the agent's answer.
func (w *world) establishedTo(says string) (d *dialogue, invite received) {
	w.t.Helper()
	d = w.carrier.newCall("+15075785607")
	invite = w.carrier.ringsAt(w.agent, d)
	w.carrier.isTakenWith(w.agent, invite, "agent1", d, says)
	return d, invite
}

func sameKeys(a, b *media.Keys) bool { return a == b || a != nil && b != nil && a.Same(b) }
