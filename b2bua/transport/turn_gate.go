package transport

import (
	"context"
	"fmt"
	"sync"
)

// turnGate lets turns run, or keeps them waiting.
type turnGate struct {
	mu      sync.Mutex // guards what follows
	running int
	opens   chan struct{} // closed when turns may run again; nil: they may
	idle    chan struct{} // closed when none runs any more; nil if no goroutine waits for that
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
	if g.running--; g.running == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// Exclusive does something while no turn runs. Turns may run before it. If ctx ends before, it is not done.
func (t *Turns) Exclusive(ctx context.Context, do func()) error {
	idle := t.gate.close()
	defer t.gate.open()
	select {
	case <-idle:
		do()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errTurn, ctx.Err())
	}
}

// close keeps turns from running. What it gives is closed when none does. It is not called twice without open in
// between.
func (g *turnGate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opens = make(chan struct{})
	idle := make(chan struct{})
	if g.running == 0 {
		close(idle)
	} else {
		g.idle = idle
	}
	return idle
}

// open lets turns run, if they may not.
func (g *turnGate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opens != nil {
		close(g.opens)
		g.opens, g.idle = nil, nil
	}
}
