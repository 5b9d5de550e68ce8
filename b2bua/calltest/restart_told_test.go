package calltest

import (
	"context"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/snapshot"
	"flowbridge/store/record"
)

// dyingSink kills the process right after a certain state has been written, before any message about that state is
// sent.
type dyingSink struct {
	snapshot.Sink
	w     *world
	now   func(*snapshot.Call) bool
	atEnd bool // kill at the end of the call, before the record is written
}

func (s *dyingSink) Keep(ctx context.Context, r *record.Record, owes []byte, done func(error)) {
	if s.atEnd {
		s.w.life.dead.Store(true)
		done(nil)
		return
	}
	s.Sink.Keep(ctx, r, owes, done)
}

func (s *dyingSink) Journal(r record.Record, state []byte) {
	if k, err := snapshot.Decode(state); err == nil && s.now(k) {
		s.w.life.dead.Store(true)
	}
	s.Sink.Journal(r, state)
}

// An UPDATE is in a checkpoint before it is answered. If the process is killed in between, the peer repeats the UPDATE
// and gets one answer. If this answer were a refusal, the session timer would later end the call.
func TestUpdateWithoutItsAnswerIsServedAgain(t *testing.T) {
	inWorldWith(t, talkYAML("", "session_expires: 90s"), func(w *world) {
		c := w.talk([]string{"Supported: timer", "Session-Expires: 90;refresher=uac", "Allow: INVITE, ACK, BYE, UPDATE"}, nil)
		sink, dies := w.options.Sink, false
		w.options.Sink = &dyingSink{Sink: sink, w: w, now: func(*snapshot.Call) bool { return dies }}
		w.restart()
		w.carrier.rest()
		w.agent.rest()
		update := c.d.inDialog("UPDATE", 2, "", "Supported: timer", "Session-Expires: 90;refresher=uac")
		dies = true
		w.carrier.send(update)
		if left := w.carrier.rest(); len(left) > 0 {
			t.Fatalf("answered:\n%s", left[0].raw)
		}
		w.options.Sink = sink
		w.restart()
		w.carrier.rest()
		w.carrier.send(update)
		w.carrier.expect("SIP/2.0 200")
		c.d.branch += "another"
		w.carrier.send(c.d.inDialog("UPDATE", 2, ""))
		w.carrier.expect("SIP/2.0 500")
		c.d.later = 1
		w.callerEnds(w.agent, c.d)
	})
}

// The end of a call is in the journal before its BYE is answered. If the process is killed in between, the peer repeats
// the BYE. After a 200 it would not repeat the BYE, and the call would stay.
func TestByeIsAnsweredWhenTheEndIsOnFile(t *testing.T) {
	for _, side := range []string{"caller", "agent"} {
		runIn(t, side, talkYAML("", ""), func(w *world) {
			sink := w.options.Sink
			w.options.Sink = &dyingSink{Sink: sink, w: w, now: func(*snapshot.Call) bool { return false }, atEnd: true}
			w.restart()
			c := w.talk(nil, nil)
			from, other, bye := w.carrier, w.agent, func() { w.carrier.send(c.d.inDialog("BYE", 2, "")) }
			why, by := cause.CallerHangup, record.EndedByCaller
			if side == "agent" {
				from, other, bye = w.agent, w.carrier, func() { w.agent.agentRequest("BYE", c.invite, "agent1", 1) }
				why, by = cause.AgentHangup, record.EndedByAgent
			}
			bye()
			for _, m := range from.rest() {
				w.t.Fatalf("answered before the end was on file:\n%s", m.raw)
			}
			w.options.Sink = sink
			w.restart()
			w.carrier.expect("SIP/2.0 200") // repeated, because no checkpoint had the caller's ACK
			w.carrier.ack(c.d)
			synctest.Wait()
			other.rest()
			bye()
			from.expect("SIP/2.0 200")
			other.reply(other.expect("BYE"), 200, "OK", "", "")
			w.wantRecord(record.DispositionAnswered, why, by)
		})
	}
}

// If a call continues without its agent, its checkpoint is written before the agent's BYE is answered.
func TestByeDuringATransferIsAnsweredWhenThatIsNoted(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		sink, dies := w.options.Sink, false
		w.options.Sink = &dyingSink{Sink: sink, w: w, now: func(*snapshot.Call) bool { return dies }}
		w.restart()
		_, invite := w.established()
		w.referred(invite, "<tel:4711>")
		w.agent2.expect("INVITE")
		w.agent.rest()
		dies = true
		w.agent.agentRequest("BYE", invite, "agent1", 11)
		for _, m := range w.agent.rest() {
			t.Errorf("answered before it was noted:\n%s", m.raw)
		}
		w.options.Sink = sink
	})
}
