package media

import (
	"runtime"
	"testing"
)

// hangingTap blocks the worker.
type hangingTap struct{ begun, hangs chan struct{} }

func (h hangingTap) Packet(Tapped) {
	close(h.begun)
	<-h.hangs
}

// A worker that is stuck stays at one step, and a worker without sessions is not reported.
func TestUnderway(t *testing.T) {
	e := openEngine(t, nil)
	steps := func() (all []uint64) {
		e.Underway(func(_ string, step uint64) { all = append(all, step) })
		return all
	}
	br := newBridge(t, e)
	tap := hangingTap{make(chan struct{}), make(chan struct{})}
	br.SetTap(tap)
	br.a.send(br.Local(SideA), sourcePacket(t, 0xcafe, 1))
	<-tap.begun
	first, second := steps(), steps()
	if len(first) != 1 || len(second) != 1 || first[0] != second[0] {
		t.Errorf("steps %v, then %v; want one worker at one step", first, second)
	}
	close(tap.hangs)
	for now := steps(); len(now) == 1 && now[0] == first[0]; now = steps() {
		runtime.Gosched()
	}
	br.Close()
	for len(steps()) > 0 { // it runs one more check, and then rests
		runtime.Gosched()
	}
}
