package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/store/record"
)

// clockSet runs a test in a world whose wall clock can be changed while no process runs. restart gets the change of the
// wall clock and the machine time that passes.
func clockSet(t *testing.T, yaml string, test func(w *world, restart func(wall, machine time.Duration))) {
	t.Helper()
	var up time.Duration // machine time in addition to the bubble's clock
	begin := time.Now()
	inWorldOf(t, yaml, func(o *b2bua.Options) {
		begin = time.Now()
		o.Machine = func() (time.Duration, uint64) { return time.Hour + up + time.Since(begin), 1 }
	}, func(w *world) {
		test(w, func(wall, machine time.Duration) {
			left := w.die()
			time.Sleep(wall)
			up += machine - wall
			w.begin(left)
		})
	})
}

// TestClockSetForth: if the wall clock is set forward by two days while a call's process is dead, the call ends neither
// by its limit nor by its session timer, and its duration is right.
func TestClockSetForth(t *testing.T) {
	clockSet(t, talkYAML("max_duration: 10m", ""), func(w *world, restart func(wall, machine time.Duration)) {
		c := w.talk(nil, nil)
		time.Sleep(2 * flushDelay)
		restart(48*time.Hour, time.Second)
		w.session().relayed.Add(50)
		w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		w.carrier.silent(time.Minute)
		w.callerHangsUp(c.d)
		if r := w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller); r.DurationMS > 3*time.Minute.Milliseconds() {
			t.Errorf("it lasted %d ms", r.DurationMS)
		}
	})
}

// TestClockSetBack: if the wall clock is set back while a call's process is dead, the call's time limit still ends the
// call.
func TestClockSetBack(t *testing.T) {
	clockSet(t, talkYAML("max_duration: 10m", ""), func(w *world, restart func(wall, machine time.Duration)) {
		w.talk(nil, nil)
		time.Sleep(2 * flushDelay)
		restart(time.Second, 9*time.Minute)
		w.session().relayed.Add(50)
		w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		time.Sleep(50 * time.Second)
		hungUpOn(w.carrier, w.agent)
		w.wantRecord(record.DispositionAnswered, cause.MaxDuration, record.EndedBySystem)
	})
}

// TestInstant: a point in time that another process takes over does not move if the wall clock is changed after that.
func TestInstant(t *testing.T) {
	at := time.Now().Add(time.Minute)
	again := leg.TimeOf(leg.InstantOf(at))
	if d := again.Sub(at).Abs(); d > time.Millisecond || !strings.Contains(again.String(), " m=") {
		t.Errorf("%v is %v", at, again)
	}
}
