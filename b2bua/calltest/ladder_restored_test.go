package calltest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestLadderOfACallThatGoesOn: after a kill, and after an upgrade, the ladder of a call still gets the messages of both
// sides.
func TestLadderOfACallThatGoesOn(t *testing.T) {
	for name, next := range map[string]func(*world){"a kill": (*world).restart, "an upgrade": (*world).upgraded} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			c := w.talk(nil, nil)
			time.Sleep(2 * flushDelay)
			next(w)
			synctest.Wait()
			w.callerHangsUp(c.d)
			id := w.record().ID
			time.Sleep(time.Minute)
			said := lines(w.ladder(id))
			for _, want := range []string{"carrier>flowbridge INVITE", "flowbridge>agent INVITE", "flowbridge>carrier 200 INVITE", "carrier>flowbridge BYE", "flowbridge>agent BYE", "agent>flowbridge 200 BYE"} {
				if !slices.Contains(said, want) {
					w.t.Errorf("no %q in %q", want, said)
				}
			}
		})
	}
}
