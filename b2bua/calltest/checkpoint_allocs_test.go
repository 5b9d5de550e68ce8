//go:build !race

package calltest

import (
	"testing"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
)

// Writing a checkpoint takes few allocations. This file is excluded from race builds,
// because the race detector empties pools at random.
func TestCheckpointAllocatesLittle(t *testing.T) {
	inWorldOf(t, maskedYAML(), func(o *b2bua.Options) { o.Sink = lossySink{o.Sink} }, func(w *world) {
		w.talk(nil, nil)
		ctx, id := w.t.Context(), w.server.Live(w.t.Context())[0].Record.ID
		asked := testing.AllocsPerRun(100, func() { _, _ = w.server.Find(ctx, id) })
		noted := testing.AllocsPerRun(100, func() { _, _ = w.server.Order(ctx, id, bridge.OrderMask) })
		if n := noted - asked; n > 30 {
			t.Errorf("%v allocations a note; want at most 30", n)
		}
		w.endAll()
	})
}
