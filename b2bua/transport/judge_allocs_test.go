//go:build !race

package transport

import (
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/sim/siptest"
)

// The screen refuses messages without allocating. This test runs without the race detector
// (scripts/test.sh), which empties pools at random. It runs in a bubble, where no time
// passes, so that rates do not recover.
func TestJudgeDoesNotAllocate(t *testing.T) { synctest.Test(t, judgeDoesNotAllocate) }

func judgeDoesNotAllocate(t *testing.T) {
	out := make([]byte, 0, 4096)
	for name, c := range judged(t) {
		v := c.screen.judge(c.message, c.from)
		if v.admitted || (v.status == "") != (c.status == "") || !strings.HasPrefix(v.status, c.status) {
			t.Errorf("%s: %+v; want %q", name, v, c.status)
		}
		if n := testing.AllocsPerRun(15, func() { // a network of strangers gets 20 answers a second
			if v := c.screen.judge(c.message, c.from); v.status != "" {
				out = v.appendRefusal(out[:0], c.message, c.from)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A well-formed message does not cost an allocation before it is parsed.
func TestJudgeOfGoodMessagesDoesNotAllocate(t *testing.T) {
	s := openScreen(t)
	for name, raw := range goodMessages() {
		if v := s.judge(raw, siptest.Carrier); !v.admitted {
			t.Errorf("%s: %s", name, v.status)
		}
		if n := testing.AllocsPerRun(100, func() { s.judge(raw, siptest.Carrier) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
