package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/store/record"
)

// elsewhere stands for the other machines that must have the state of a call before its 200 is sent.
type elsewhere struct {
	w    *world
	away bool // if true, calls do not wait for the other machines
	told func()
}

func (e *elsewhere) await(id string, told func()) bool {
	states := e.w.sink.left()
	if len(states) != 1 || states[0].Record.ID != id || states[0].Record.AnsweredAt.IsZero() {
		e.w.t.Error("asked to wait for a state that is not noted")
	}
	e.told = told
	return !e.away
}

// inProtectedWorld runs a test in a world whose calls wait for other machines.
func inProtectedWorld(t *testing.T, test func(w *world, e *elsewhere)) {
	t.Helper()
	inProtectedWorldWith(t, testConfig, test)
}

func inProtectedWorldWith(t *testing.T, yaml string, test func(w *world, e *elsewhere)) {
	t.Helper()
	e := &elsewhere{}
	inWorldOf(t, yaml, func(o *b2bua.Options) { o.Await = e.await }, func(w *world) {
		e.w = w
		test(w, e)
	})
}

// answersInVain makes the target answer, while our 200 to the caller still waits. The ACK to the target waits as well,
// so that the target repeats its answer: if this machine dies, another machine that does not know of the answer can
// then end the call.
func (w *world) answersInVain() (d *dialogue, invite received) {
	w.t.Helper()
	d, invite = w.carrier.callsAt(w.agent, "+15075785607")
	w.agent.answer(invite, "a")
	w.carrier.silent(40 * time.Millisecond)
	w.agent.silent(0)
	return d, invite
}

// The 200 is sent when the other machines have the call's state. If they are away, it is sent at once.
func TestAnswerWaitsForOtherMachines(t *testing.T) {
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		d, _ := w.answersInVain()
		e.told()
		w.agent.expect("ACK")
		w.carrier.isAnswered(d)
		w.callerEnds(w.agent, d)
	})
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		e.away = true
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		w.shortCall(w.agent, invite, "a", d)
	})
}

// If a CANCEL comes while the 200 waits, it ends the INVITE, because no final answer was sent yet (RFC 3261 section
// 9.2). The target gets BYE.
func TestCancelWhileTheAnswerWaits(t *testing.T) {
	for _, late := range []bool{true, false} {
		inProtectedWorld(t, func(w *world, e *elsewhere) {
			d, _ := w.answersInVain()
			w.carrier.cancel(d)
			if !late { // the CANCEL and the notice come at once
				e.told()
			}
			final := map[string]int{}
			time.Sleep(100 * time.Millisecond)
			for _, m := range w.carrier.rest() {
				d.learn(m)
				final[m.value("CSeq")+" "+m.raw[8:11]]++
			}
			if late {
				e.told()
			}
			w.agent.expect("ACK")
			switch {
			case final["1 INVITE 487"] == 1 && final["1 INVITE 200"] == 0:
				w.carrier.ackRefused(d)
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
				w.wantRecord("cancelled", cause.CallerCancelled, record.EndedByCaller)
			case !late && final["1 INVITE 200"] == 1 && final["1 INVITE 487"] == 0:
				w.carrier.ack(d)
				w.callerEnds(w.agent, d)
			default:
				t.Errorf("final answers %v", final)
			}
			w.carrier.silent(time.Minute)
		})
	}
}

// If the target hangs up while the 200 waits, the caller still gets the 200, and then BYE after its ACK (RFC 3261
// section 15).
func TestTargetLeavesWhileTheAnswerWaits(t *testing.T) {
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		d, invite := w.answersInVain()
		w.agent.agentRequest("BYE", invite, "a", 5)
		w.agent.silent(40 * time.Millisecond)
		e.told()
		w.agent.expect("ACK")
		w.agent.expect("SIP/2.0 200")
		w.carrier.isAnswered(d)
		hungUpOn(w.carrier)
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// If the process is killed while the 200 waits, the next process sends it.
func TestKilledWhileTheAnswerWaits(t *testing.T) {
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		d, invite := w.answersInVain()
		e.away = true
		w.restart()
		synctest.Wait()
		w.agent.takes(invite, "a")
		w.carrier.isAnswered(d)
		w.callerEnds(w.agent, d)
	})
}

// A notice from the other machines that is repeated, or comes late, has no effect.
func TestToldTwice(t *testing.T) {
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		d, _ := w.answersInVain()
		e.told()
		e.told()
		w.agent.expect("ACK")
		w.carrier.isAnswered(d)
		e.told()
		w.callerEnds(w.agent, d)
		e.told()
	})
}

// When a transfer succeeds, the agent gets the report and the new target gets its ACK only after the other machines
// have the state.
func TestTransferWaitsForOtherMachines(t *testing.T) {
	inProtectedWorldWith(t, transferConfig, func(w *world, e *elsewhere) {
		d, _, _ := w.transfersInVain(e)
		e.told()
		w.agent2.expect("ACK")
		w.agent.notified("200", "terminated")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.callerEnds(w.agent2, d)
	})
}

// TestWarmTransferWaits: a party that has heard an announcement has its ACK already. When it accepts, the agent gets its
// BYE only once the other machines know that the caller is connected to the party.
func TestWarmTransferWaits(t *testing.T) {
	inProtectedWorldWith(t, orderConfig, func(w *world, e *elsewhere) {
		d, _ := w.answersInVain()
		e.told()
		w.agent.expect("ACK")
		w.carrier.isAnswered(d)
		w.transfers(warm("4711", "beep", "1"), "")
		w.agent2.reply(w.agent2.expect("INVITE"), 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		synctest.Wait()
		e.told()
		w.agent2.expect("ACK")
		w.goes("announcing")
		w.session().onEvent(media.EventDigit{Side: media.SideB, Digit: '1'})
		w.agent.silent(40 * time.Millisecond)
		e.told()
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.goes("done")
		w.callerEnds(w.agent2, d)
	})
}

// If a machine dies before the others know of a successful transfer, the caller continues with the agent, which gets a
// report of failure. The new target repeats its answer, and gets BYE.
func TestDiesWhileTheTransferWaits(t *testing.T) {
	inProtectedWorldWith(t, transferConfig, func(w *world, e *elsewhere) {
		d, called, before := w.transfersInVain(e)
		w.die()
		w.begin(before)
		w.agent.notified("500", "terminated")
		w.agent2.reply(w.agent2.expect("CANCEL"), 200, "OK", "human", "")
		w.agent2.takes(called, "human")
		w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		w.carrier.reply(w.carrier.expect("OPTIONS"), 200, "OK", "", "")
		w.callerEnds(w.agent, d)
	})
}

// transfersInVain makes the target of a transfer answer while the other machines do not know of it. before is the last
// state that they have.
func (w *world) transfersInVain(e *elsewhere) (d *dialogue, called received, before []record.Saved) {
	w.t.Helper()
	e.away = true
	d, invite := w.established()
	e.away = false
	time.Sleep(2 * flushDelay)
	w.referred(invite, "<tel:4711>")
	called = w.agent2.progresses(180, "Ringing", "human", "")
	w.agent.notified("180", "active")
	synctest.Wait()
	before = w.sink.left()
	w.agent2.reply(called, 200, "OK", "human", agentSDP())
	w.agent2.silent(40 * time.Millisecond)
	w.agent.silent(0)
	return d, called, before
}

// If no other machine knows that a target was called, the target keeps ringing after the machine dies, and gets BYE as
// soon as it answers. After 64*T1 its answers are ignored, because they can't be distinguished from forged ones, so it
// has to end the call by itself (RFC 3261 section 13.3.1.4).
func TestTargetThatNoMachineKnows(t *testing.T) {
	for after, known := range map[time.Duration]bool{20 * time.Second: true, 40 * time.Second: false} {
		inProtectedWorld(t, func(w *world, _ *elsewhere) {
			_, invite := w.carrier.callsAt(w.agent, "+15075785607")
			w.die()
			w.begin(nil)
			w.agent.silent(after)
			if w.agent.answer(invite, "a"); known {
				w.agent.expect("ACK")
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			}
			w.agent.silent(time.Minute)
		})
	}
}

// A machine dies whose 200s have gone out, while the other machines know that the target rings. The machine that
// continues the call ends it: the CANCEL has no effect, so the target gets BYE. The tag in it is from its answer to the
// CANCEL (RFC 3261 section 9.2).
func TestAnsweredBehindTheBackOfOtherMachines(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.ringing()
		older := w.sink.left()
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.carrier.isAnswered(d)
		w.die()
		w.begin(older)
		w.carrier.expect("SIP/2.0 500")
		cancel := w.agent.expect("CANCEL")
		w.agent.reply(cancel, 200, "OK", "agent1", "")
		bye := w.agent.expect("BYE")
		if to := bye.value("To"); !strings.HasSuffix(to, ";tag=agent1") || bye.value("CSeq") == "1 BYE" {
			t.Errorf("not in the target's dialog:\n%s", bye.raw)
		}
		w.agent.reply(bye, 200, "OK", "", "")
		w.agent.silent(time.Minute)
		w.carrier.rest()
		w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
	})
}
