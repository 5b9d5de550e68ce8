package calltest

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// elsewhere are other machines that are to have the state of a call before its 200 leaves.
type elsewhere struct {
	w    *world
	away bool // nobody waits for them
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

// inProtectedWorld has the call wait for other machines.
func inProtectedWorld(t *testing.T, test func(w *world, e *elsewhere)) {
	t.Helper()
	e := &elsewhere{}
	inWorldOf(t, testConfig, func(o *b2bua.Options) { o.Await = e.await }, func(w *world) {
		e.w = w
		test(w, e)
	})
}

// answersInVain has the target answer a call whose 200 waits.
func (w *world) answersInVain() (d *dialogue, invite received) {
	w.t.Helper()
	d, invite = w.carrier.callsAt(w.agent, "+15075785607")
	w.agent.takes(invite, "a")
	w.carrier.silent(40 * time.Millisecond)
	return d, invite
}

// The 200 leaves when other machines have the call, and at once where they are away.
func TestAnswerWaitsForOtherMachines(t *testing.T) {
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		d, _ := w.answersInVain()
		e.told()
		w.carrier.isAnswered(d)
		w.callerEnds(w.agent, d)
	})
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		e.away = true
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		w.shortCall(w.agent, invite, "a", d)
	})
}

// A CANCEL that comes while the 200 waits ends the INVITE (RFC 3261 section 9.2): no final answer has left. The target
// gets BYE.
func TestCancelWhileTheAnswerWaits(t *testing.T) {
	for _, late := range []bool{true, false} {
		inProtectedWorld(t, func(w *world, e *elsewhere) {
			d, _ := w.answersInVain()
			w.carrier.cancel(d)
			if !late { // both at once
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

// A target that leaves while the 200 waits: the caller gets the 200, and the BYE after its ACK (RFC 3261 section 15).
func TestTargetLeavesWhileTheAnswerWaits(t *testing.T) {
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		d, invite := w.answersInVain()
		w.agent.agentRequest("BYE", invite, "a", 5)
		w.agent.expect("SIP/2.0 200")
		e.told()
		w.carrier.isAnswered(d)
		hungUpOn(w.carrier)
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// A process that is killed while the 200 waits: the next one sends it.
func TestKilledWhileTheAnswerWaits(t *testing.T) {
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		d, _ := w.answersInVain()
		e.away = true
		w.restart()
		synctest.Wait()
		w.carrier.isAnswered(d)
		w.callerEnds(w.agent, d)
	})
}

// A word that comes twice, or late, does nothing.
func TestToldTwice(t *testing.T) {
	inProtectedWorld(t, func(w *world, e *elsewhere) {
		d, _ := w.answersInVain()
		e.told()
		e.told()
		w.carrier.isAnswered(d)
		e.told()
		w.callerEnds(w.agent, d)
		e.told()
	})
}
