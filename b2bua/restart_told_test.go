package b2bua

import (
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/kept"
	"flowbridge/store"
)

// dyingSink has the process die when a certain state is on file, and before anybody is told.
type dyingSink struct {
	Sink
	w   *world
	now func(*kept.Call) bool
}

func (s *dyingSink) Journal(r store.Record, state []byte) {
	if k, err := kept.Decode(state); err == nil && s.now(k) {
		s.w.life.dead.Store(true)
	}
	s.Sink.Journal(r, state)
}

// An UPDATE is on file before its answer leaves. Where the process ends in between, the peer repeats it and has its answer, once:
// a refresh that is refused would end the call with its session timer.
func TestUpdateWithoutItsAnswerIsServedAgain(t *testing.T) {
	inWorldWith(t, talkYAML("", "session_expires: 90s"), func(w *world) {
		c := w.talk([]string{"Supported: timer", "Session-Expires: 90;refresher=uac", "Allow: INVITE, ACK, BYE, UPDATE"}, nil)
		sink, dies := w.options.Sink, false
		w.options.Sink = &dyingSink{sink, w, func(*kept.Call) bool { return dies }}
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
		w.callerHangsUp(c.d)
		w.wantRecord(store.DispositionAnswered, cause.CallerHangup, store.EndedByCaller)
	})
}
