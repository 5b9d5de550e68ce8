package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// A 200 that nobody acknowledges is sent again for 64*T1 (RFC 3261 section
// 13.3.1.4), also when the library has long forgotten its transaction; an
// INVITE that is repeated meanwhile makes no second call.
func TestUnacknowledgedAnswerIsRepeated(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		begin := time.Now()
		invite := w.agent.expect("INVITE")
		w.agent.takes(invite, "a")
		var at []time.Duration
		go func() {
			time.Sleep(15 * time.Second)
			tag := d.toTag
			d.toTag = ""
			w.carrier.invite(d)
			d.toTag = tag
		}()
		for {
			m := w.carrier.expect("")
			if strings.HasPrefix(m.raw, "BYE") {
				w.carrier.reply(m, 200, "OK", "", "")
				break
			}
			if !strings.HasPrefix(m.raw, "SIP/2.0 200") {
				t.Fatalf("got\n%s", m.raw)
			}
			at = append(at, time.Since(begin).Round(100*time.Millisecond))
		}
		want := []time.Duration{0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500}
		if len(at) != len(want) {
			t.Fatalf("200 at %v", at)
		}
		for i, d := range want {
			if at[i] != d*time.Millisecond {
				t.Errorf("200 at %v; want %v", at[i], d*time.Millisecond)
			}
		}
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.NoACK, record.EndedBySystem)
	})
}

// A BYE whose answer was lost gets it again for 64*T1 (RFC 3261 section 17.2.2);
// another one is of no dialog any more.
func TestRepeatedByeIsAnswered(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		w.callerEnds(w.agent, d)
		for _, c := range []struct {
			after time.Duration
			want  string
		}{{time.Second, "200"}, {9 * time.Second, "200"}, {20 * time.Second, "200"}, {10 * time.Second, "481"}} {
			time.Sleep(c.after)
			d.later = 0
			w.carrier.bye(d)
			w.carrier.expect("SIP/2.0 " + c.want)
		}
		d.branch += "other"
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 481")
	})
}

// RFC 6026 section 7.1: an INVITE that comes again when its 200 is acknowledged
// is no new one.
func TestRepeatedReinviteIsNotAnswered(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		seq := w.carrier.reinvite(d, d.sdp)
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		synctest.Wait()
		w.carrier.send(d.inDialog("INVITE", seq, d.sdp, sdpHeader(d.sdp)...))
		w.carrier.silent(time.Second)
		w.callerEnds(w.agent, d)
	})
}

// A 200 that comes again after two re-INVITEs gets ACK: it is no fork that lost.
func TestRepeatedAnswerAfterReinvites(t *testing.T) {
	relayed := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: relay,", 1)
	inWorldWith(t, relayed, func(w *world) {
		d, invite, _ := w.answeredBySpare(callerSDP(), agentSDP())
		for range 2 {
			seq := w.carrier.reinvite(d, callerSDP())
			w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "agent2", agentSDP())
			w.carrier.expect("SIP/2.0 200")
			w.carrier.ackOf(d, seq, "")
			synctest.Wait()
		}
		w.agent2.reply(invite, 200, "OK", "agent2", agentSDP())
		if ack := w.agent2.expect("ACK"); ack.value("CSeq") != "1 ACK" {
			t.Errorf("it gets\n%s", ack.raw)
		}
		w.agent2.silent(time.Second)
		w.callerEnds(w.agent2, d)
	})
}

// A re-INVITE that comes again because our 200 was lost gets that again, also
// when its transaction is over (Timer L).
func TestReinviteAgainAfterTimerL(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		seq := w.carrier.reinvite(d, d.sdp)
		time.Sleep(5900 * time.Millisecond) // between two of our own repetitions
		for range 4 {
			w.carrier.expect("SIP/2.0 200")
		}
		w.carrier.send(d.inDialog("INVITE", seq, d.sdp, sdpHeader(d.sdp)...))
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		w.carrier.silent(10 * time.Second)
		w.callerEnds(w.agent, d)
	})
}
