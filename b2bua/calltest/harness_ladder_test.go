package calltest

import (
	"sync"

	"flowbridge/b2bua/ladder"
)

// ladders stores the ladders of finished calls, by id.
type ladders struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (w *world) keepLadder(c *ladder.Call) {
	w.ladders.mu.Lock()
	defer w.ladders.mu.Unlock()
	if w.ladders.all == nil {
		w.ladders.all = map[string][]byte{}
	}
	w.ladders.all[c.ID()] = c.Encode(nil)
	c.Release()
}

// ladder returns the ladder of a finished call.
func (w *world) ladder(id string) *ladder.Ladder {
	w.t.Helper()
	w.ladders.mu.Lock()
	defer w.ladders.mu.Unlock()
	l, err := ladder.Decode(w.ladders.all[id])
	if err != nil {
		w.t.Fatalf("ladder of %s: %v", id, err)
	}
	return l
}
