package calltest

import (
	"sync/atomic"
	"testing"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// slowRelay resumes a session so slowly that everything else has happened first.
type slowRelay struct {
	bridge.Relay
	resumed atomic.Int32
}

func (r *slowRelay) Resume(c media.SessionConfig, st media.SessionState) (bridge.RelaySession, error) {
	time.Sleep(time.Millisecond)
	defer r.resumed.Add(1)
	return r.Relay.Resume(c, st)
}

// earlySink records how many sessions existed when a call first wrote its state.
type earlySink struct {
	snapshot.Sink
	relay *slowRelay
	least atomic.Int32
}

func (s *earlySink) Journal(r record.Record, state []byte) {
	s.least.CompareAndSwap(-1, s.relay.resumed.Load())
	s.Sink.Journal(r, state)
}

// TestMediaFirstAfterARestart: after a restart, all calls get their media back before any call does anything else.
// Otherwise one call would delay the media of others.
func TestMediaFirstAfterARestart(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		var calls []*talk
		for range 7 {
			calls = append(calls, w.talk(nil, nil))
		}
		time.Sleep(2 * flushDelay)
		left := w.die()
		relay, sink := w.options.Relay, w.options.Sink
		slow := &slowRelay{Relay: relay}
		early := &earlySink{Sink: sink, relay: slow}
		early.least.Store(-1)
		w.options.Relay, w.options.Sink = slow, early
		w.begin(left)
		w.options.Relay, w.options.Sink = relay, sink
		time.Sleep(time.Second)
		if got := early.least.Load(); got != int32(len(calls)) {
			t.Errorf("the first call wrote its state when %d of %d had media", got, len(calls))
		}
		for _, c := range calls {
			c.hangsUp()
		}
	})
}
