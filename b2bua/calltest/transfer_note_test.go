package calltest

import (
	"slices"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/snapshot"
	"flowbridge/store/record"
)

// When a transfer succeeds, the journal has it before the agent gets the report and before the new target gets its ACK.
// Otherwise, after a kill, the next process would end the target's call although the agent might have left.
func TestTransferIsNotedBeforeAnybodyIsTold(t *testing.T) {
	for name, yaml := range map[string]string{"plain": transferConfig, "DTLS": toDTLS} {
		runIn(t, name, yaml, func(w *world) {
			sink := w.options.Sink
			w.options.Sink = &dyingSink{Sink: sink, w: w, now: func(k *snapshot.Call) bool { return k.Attempts.Current != nil && k.Attempts.Current.Target == "pbx" }}
			_, invite := w.established()
			w.restart()
			w.agent.rest()
			w.carrier.rest()
			w.referred(invite, "<tel:4711>")
			called := w.agent2.expect("INVITE")
			if yaml == toDTLS {
				w.answersDTLS(called).shakes(called, true)
			} else {
				w.agent2.reply(called, 200, "OK", "human", agentSDP())
			}
			for _, m := range w.agent.rest() {
				if m.value("Subscription-State") != "active;expires=180" {
					w.t.Errorf("the agent was told before the note:\n%s", m.raw)
				}
			}
			if left := w.agent2.rest(); len(left) > 0 {
				w.t.Errorf("the target was told before the note:\n%s", left[0].raw)
			}
			w.options.Sink = sink
		})
	}
}

// The record in a checkpoint has no unfinished attempt, because live statistics are computed from it.
func TestNotedAttemptsAreOver(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "<tel:4711>")
		w.takenByPBX(w.agent2.expect("INVITE"))
		w.callerEnds(w.agent2, d)
		w.sink.mu.Lock()
		defer w.sink.mu.Unlock()
		for _, r := range w.sink.journal {
			if slices.ContainsFunc(r.Attempts, func(a record.Attempt) bool { return a.Cause == string(cause.ProcessRestart) }) {
				t.Errorf("noted with %+v", r.Attempts)
			}
		}
	})
}
