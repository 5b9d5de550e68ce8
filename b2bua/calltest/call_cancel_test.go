package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// The carrier's CANCEL reaches our transaction after the target's 200 reached
// us, but before our own 200 went out: 487 wins, the target gets BYE.
func TestCancelBeats200ToCarrier(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		w.agent.answer(invite, "a")
		w.carrier.cancel(d) // both are in flight at the same instant
		w.agent.expect("ACK")
		// Either may win. In any case the carrier gets one final answer, and the agent's call is
		// ended.
		final := map[string]int{}
		time.Sleep(100 * time.Millisecond)
		for _, m := range w.carrier.rest() {
			final[m.value("CSeq")+" "+m.raw[8:11]]++
		}
		switch {
		case final["1 INVITE 487"] == 1 && final["1 INVITE 200"] == 0:
			w.carrier.ackRefused(d)
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			w.wantRecord("cancelled", cause.CallerCancelled, record.EndedByCaller)
		case final["1 INVITE 200"] == 1 && final["1 INVITE 487"] == 0:
			w.carrier.ackRefused(d)
			w.callerEnds(w.agent, d)
		default:
			t.Errorf("final answers %v", final)
		}
	})
}

func TestCancelBeforeItsInvite(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.cancel(d)
		synctest.Wait()
		w.carrier.invite(d)
		got := map[string]bool{}
		for range 2 {
			m := w.carrier.expect("SIP/2.0 ")
			for strings.HasPrefix(m.raw, "SIP/2.0 100") {
				m = w.carrier.expect("SIP/2.0 ")
			}
			got[m.value("CSeq")+" "+m.raw[8:11]] = true
			if m.value("CSeq") == "1 INVITE" {
				d.learn(m)
			}
		}
		if !got["1 CANCEL 200"] || !got["1 INVITE 487"] {
			t.Errorf("answers %v", got)
		}
		w.carrier.ackRefused(d)
		w.wantRecord("cancelled", cause.CallerCancelled, record.EndedByCaller)
		w.agent.silent(time.Minute)
	})
}

// RFC 3326 section 2: the CANCEL to the target has the reason code from the caller's
// CANCEL, with our own text.
func TestReasonOfCancel(t *testing.T) {
	for said, want := range map[string]string{
		`SIP;cause=200;text="Call completed elsewhere at 10.1.2.3"`: `SIP;cause=200;text="Call completed elsewhere"`,
		`Q.850;cause=16;text="x", SIP;cause=487`:                    `Q.850;cause=16;text="caller_cancelled"`,
		`SIP;cause=603`:                                             `Q.850;cause=21;text="caller_cancelled"`,
		"":                                                          "",
	} {
		tell(t, testConfig, strings.NewReplacer("SAID", said, "WANT", want).Replace(`
== SAID
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 180
carrier: cancels | Reason: SAID ; gets 200 ; gets 487 ; acks
agent: gets CANCEL | Reason: WANT ; says 200 to CANCEL ; says 487 ; gets ACK
record: cancelled caller_cancelled caller`))
	}
}

// RFC 3261 section 9.2: a CANCEL that comes before our 200 undoes a change that the other
// side had agreed to: the old session is offered to it again.
func TestCancelOvertakesAcceptedChange(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		seq := e.offers("INVITE", e.pcma())
		asked := far.p.expect("INVITE")
		e.overtakes(seq, func() { far.p.reply(asked, 200, "OK", "", siptest.SessionAt(far.address, 44000, "8 101")) })
		e.ackRefusal(e.p.expect("SIP/2.0 487"))
		far.p.expect("ACK")
		if again := far.takes(siptest.SessionAt(far.address, 44002, "0 101")); described(t0(c), again).Speaks().Name != "PCMU" {
			t0(c).Errorf("restored with\n%s", again.raw)
		}
		if got := e.peer().RTP.Port(); got == 42000 {
			t0(c).Errorf("media goes to port %d", got)
		}
		e.changes("UPDATE", siptest.SessionAt(e.address, 40000, "0 101"), "200")
		c.hangsUp()
	})
}

// If the other side refuses to have the old session back, its answer stays in force there, and the media follow it.
func TestCancelOvertakesChangeThatStays(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		seq := e.offers("INVITE", e.pcma())
		asked := far.p.expect("INVITE")
		e.overtakes(seq, func() { far.p.reply(asked, 200, "OK", "", siptest.SessionAt(far.address, 44000, "8 101")) })
		e.ackRefusal(e.p.expect("SIP/2.0 487"))
		far.p.expect("ACK")
		far.p.concludes(far.p.expect("INVITE"), 488, "Not Acceptable Here", "", "")
		if got := far.payloads(); got != "8a>0" {
			t0(c).Errorf("what the side sends is changed by %q", got)
		}
		if got := e.payloads(); got != "0u>8" {
			t0(c).Errorf("what the other side sends is changed by %q", got)
		}
		c.hangsUp()
	})
}

// A CANCEL that has overtaken its INVITE changes nothing if the INVITE is refused without
// state: each copy of it gets the same answer.
func TestCancelBeforeRefusedInvite(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.extra = "Require: x\n"
		w.carrier.cancel(d)
		synctest.Wait()
		w.carrier.invite(d)
		w.carrier.expect("SIP/2.0 420")
		w.carrier.expect("SIP/2.0 481") // the answer to the CANCEL
		w.settle()
	})
}
