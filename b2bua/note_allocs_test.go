//go:build !race

package b2bua

import "testing"

// A note takes few allocations. The race detector empties pools at random.
func TestNoteAllocatesLittle(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := answeredCall(w)
		if n := testing.AllocsPerRun(100, func() { _, _ = encode(c) }); n > 30 {
			t.Errorf("%v allocations a note; want at most 30", n)
		}
		w.server.HangupAll()
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
	})
}
