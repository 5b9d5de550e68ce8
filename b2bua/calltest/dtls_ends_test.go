package calltest

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/dtls"
)

// A waiting caller hears the queue's sound over SRTP with DTLS. An upgrade hands over the call with its keys, as soon
// as there are keys.
func TestDTLSCallerWaits(t *testing.T) {
	yaml := strings.Replace(queueConfig, "timeout: 50s}", "timeout: 50s, sound: hold}", 1)
	inWorldWith(t, strings.Replace(yaml, `country: "1"}`, `country: "1", `+dtlsYAML+"}", 1), func(w *world) {
		calls := func(phone *dtlsEnd) *dialogue {
			d := w.carrier.newCall("+15075780001")
			d.sdp = phone.describes("192.0.2.10", 20000, "actpass")
			w.carrier.invitesTillRung(d)
			return d
		}
		phone := w.dtlsEnd(media.SideA, 9)
		first := calls(phone)
		ok := w.carrier.isTakenBy(w.agent, w.agent.expect("INVITE"), "agent1", first)
		phone.shakes(ok, false)
		phone.agreed()
		waits := w.dtlsEnd(media.SideA, 10)
		second := calls(waits)
		told := second.learn(w.carrier.expect("SIP/2.0 183"))
		if err := w.upgrade(); !isStopped(err, waitsForRequest) {
			t.Errorf("upgraded before the handshake: %v", err)
		}
		waits.shakes(told, false)
		waits.agreed()
		w.upgraded()
		if again := w.carrier.expect("SIP/2.0 183"); string(again.Body()) != string(told.Body()) {
			t.Errorf("another description:\n%s", again.raw)
		}
		waits.agreed()
		if got := w.waiting(); got != "0001" {
			t.Errorf("waiting: %s", got)
		}
		w.carrier.givesUp(second)
		w.record()
		w.callerEnds(w.agent, first)
	})
}

// The handshake of a target that refuses after early media does not affect the next target.
func TestDTLSTargetRefusesAfterEarlyMedia(t *testing.T) {
	inWorldWith(t, talkYAML("", dtlsYAML), func(w *world) {
		d := w.carrier.dials("+15085785607")
		in := w.agent.progresses(183, "Session Progress", "agent1", w.dtlsEnd(media.SideB, 9).describes("192.0.2.20", 30000, "active"))
		d.learn(w.carrier.expect("SIP/2.0 183"))
		way := w.relay.sessions[0].ways[media.SideB]
		w.agent.concludes(in, 503, "Service Unavailable", "agent1", "")
		second := w.agent2.expect("INVITE")
		select {
		case <-way.Done():
		default:
			t.Error("the handshake goes on")
		}
		w.agent2.reply(second, 180, "Ringing", "spare", "")
		w.carrier.expect("SIP/2.0 180")
		time.Sleep(dtls.Patience + time.Second)
		w.carrier.isBusyAt(w.agent2, second, "spare", d)
		if r := w.record(); len(r.Attempts) != 2 || r.Attempts[0].SIPStatus != 503 || r.Attempts[1].SIPStatus != 486 {
			t.Errorf("attempts: %+v", r.Attempts)
		}
	})
}

// If an agent dies during its DTLS handshake, the call continues, because its caller waits for another agent.
func TestDTLSAgentDiesInItsHandshake(t *testing.T) {
	yaml := strings.Replace(strings.Replace(rescueConfig, "@RESCUE@", "", 1), "@192.0.2.20:32681\"}", "@192.0.2.20:32681\", "+dtlsYAML+"}", 1)
	inWorldWith(t, yaml, func(w *world) {
		agent := w.dtlsEnd(media.SideB, 9)
		d, in := w.carrier.callsAt(w.agent, "+15075785607")
		w.agent.concludes(in, 200, "OK", "agent1", agent.describes("192.0.2.20", 30000, "active"))
		agent.shakes(in, true)
		w.carrier.isAnswered(d)
		agent.agreed()
		w.agent.agentSends("INVITE", in, "agent1", 2, w.dtlsEnd(media.SideB, 10).describes("192.0.2.20", 30002, "active"))
		w.agent.expect("SIP/2.0 200")
		w.agent.agentSends("ACK", in, "agent1", 2, "")
		synctest.Wait()
		if err := w.upgrade(); !isStopped(err, waitsForExchange) {
			t.Errorf("an upgrade in a handshake: %v; want %s", err, waitsForExchange)
		}
		w.agentDies(time.Second, in)
		called := w.agent2.progresses(180, "Ringing", "spare", "")
		time.Sleep(dtls.Patience + time.Second)
		w.agent2.concludes(called, 200, "OK", "spare", sdpAt("192.0.2.21", 41000))
		w.callerEnds(w.agent2, d)
	})
}

// A call keeps its fingerprint when another process with other settings continues it.
func TestDTLSRestoredWithoutItsSetting(t *testing.T) {
	inWorldWith(t, talkYAML(dtlsYAML, ""), func(w *world) {
		k := w.dtlsTalk(w.dtlsEnd(media.SideA, 9))
		time.Sleep(flushDelay + time.Second) // until a checkpoint has its ACK
		left := w.die()
		cfg, err := config.Parse("test.yaml", []byte(talkYAML("", "")), os.LookupEnv)
		must(t, err)
		w.options.Config = cfg
		w.begin(left)
		w.carrier.within(k.d, "INVITE", "")
		offer := w.carrier.expect("SIP/2.0 200")
		if !strings.Contains(offer.raw, "a=fingerprint:"+k.fingerprint+"\r\n") {
			t.Errorf("the next offer has another fingerprint than %s:\n%s", k.fingerprint, offer.raw)
		}
		w.callerEnds(w.agent, k.d)
	})
}
