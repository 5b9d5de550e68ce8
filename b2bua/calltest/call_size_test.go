//go:build !race

package calltest

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// heldCall is the most heap that a bridged call may use in this test, in bytes: the call,
// its legs with their transactions, its ladder, and about 4 KB for the test's own peers,
// but not the media.
const heldCall = 20 << 10

// A bridged call uses little memory, because it drops the state of its set-up.
func TestHeldCallIsSmall(t *testing.T) { testHeldCall(t, "", heldCall) }

// A bridged call keeps only one copy of the caller's headers from large messages, as
// text: a substring of a message would keep all of it in memory.
func TestHeldCallOfLargeMessagesIsSmall(t *testing.T) {
	line := "X-Long: " + strings.Repeat("x", 4000) + "\n"
	testHeldCall(t, line+line, heldCall+10<<10)
}

func testHeldCall(t *testing.T, headers string, most uint64) {
	const calls = 200
	inWorld(t, func(w *world) {
		d := w.establishedWith(headers) // warm up caches and pools
		w.callerEnds(w.agent, d)
		live := func() uint64 {
			time.Sleep(time.Minute) // until the transactions are over
			synctest.Wait()
			w.sink.journal, w.sink.states, w.prepare.asked, w.prepare.trace = nil, nil, nil, nil
			var m runtime.MemStats
			runtime.GC()
			runtime.GC() // also collects the pools
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := live()
		all := make([]*dialogue, 0, calls)
		for range calls {
			all = append(all, w.establishedWith(headers))
		}
		if n := (live()-before)/calls - uint64(unsafe.Sizeof(fakeSession{})); n > most {
			t.Errorf("%d bytes a call; want at most %d", n, most)
		} else {
			t.Logf("%d bytes a call", n)
		}
		for _, d := range all {
			w.callerEnds(w.agent, d)
		}
	})
}

// establishedWith sets up a call like established, with additional headers in the INVITE
// and the 200.
func (w *world) establishedWith(headers string) *dialogue {
	w.t.Helper()
	d := w.carrier.newCall("+15075785607")
	d.extra = headers
	w.carrier.invite(d)
	d.extra = ""
	d.learn(w.carrier.expect("SIP/2.0 180"))
	w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP(), headers+"X-Last: x")
	w.carrier.isAnswered(d)
	return d
}
