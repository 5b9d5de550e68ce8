package transport

import (
	"context"
	"fmt"
	"sync"
)

// gate lets turns run, or keeps them waiting.
type gate struct {
	mu      sync.Mutex // guards what follows
	running int
	opens   chan struct{} // closed when turns may run again; nil: they may
	still   chan struct{} // closed when none runs any more; nil if no goroutine waits for that
}

// Enter is called by each turn at its beginning, and waits while Freeze keeps turns from running. Leave is called at
// its end.
func (t *Turns) Enter() {
	g := &t.gate
	g.mu.Lock()
	for g.opens != nil {
		opens := g.opens
		g.mu.Unlock()
		<-opens
		g.mu.Lock()
	}
	g.running++
	g.mu.Unlock()
}

// Leave ends a turn.
func (t *Turns) Leave() {
	g := &t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 && g.still != nil {
		close(g.still)
		g.still = nil
	}
}

// Apart does something while no turn runs. Turns may run before it. If ctx ends before, it is not done.
func (t *Turns) Apart(ctx context.Context, do func()) error {
	still := t.gate.shut()
	defer t.gate.open()
	select {
	case <-still:
		do()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errTurn, ctx.Err())
	}
}

// shut keeps turns from running. What it gives is closed when none does. It is not called twice without open in
// between.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opens = make(chan struct{})
	still := make(chan struct{})
	if g.running == 0 {
		close(still)
	} else {
		g.still = still
	}
	return still
}

// open lets turns run, if they may not.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opens != nil {
		close(g.opens)
		g.opens, g.still = nil, nil
	}
}
