//go:build !race

package b2bua

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// heldCall bounds the heap that a bridged call needs here, in bytes: the call, its legs and
// wires, its ladder, and about 4 KB that the test's own peers keep, but not the media.
const heldCall = 20 << 10

// A bridged call is small: nothing of its set-up is kept.
func TestHeldCallIsSmall(t *testing.T) {
	const calls = 200
	inWorld(t, func(w *world) {
		d, _ := w.established() // what is made once
		w.callerHangsUp(d)
		w.record()
		live := func() uint64 {
			time.Sleep(time.Minute) // transactions are over
			synctest.Wait()
			w.sink.journal, w.prepare.asked, w.prepare.trace = nil, nil, nil
			var m runtime.MemStats
			runtime.GC()
			runtime.GC() // what was in pools
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := live()
		all := make([]*dialogue, 0, calls)
		for range calls {
			d, _ := w.established()
			all = append(all, d)
		}
		if n := (live()-before)/calls - uint64(unsafe.Sizeof(fakeSession{})); n > heldCall {
			t.Errorf("%d bytes a call; want at most %d", n, heldCall)
		} else {
			t.Logf("%d bytes a call", n)
		}
		for _, d := range all {
			w.callerHangsUp(d)
			w.record()
		}
	})
}
