package transport

import (
	"context"
	"fmt"
	"sync"
)

// turnGate lets turns of calls run, or makes them wait while it is closed.
type turnGate struct {
	mu      sync.Mutex // guards the fields below
	running int
	opens   chan struct{} // closed when turns may run again; nil while the gate is open
	idle    chan struct{} // closed when the last turn has ended; nil if no goroutine waits for that
}

// Enter starts a turn. While the gate is closed, it blocks. Each turn must end with Leave.
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

// Exclusive calls do when no turn is running, and lets none start meanwhile. If ctx ends before all turns have ended,
// it returns an error without calling do.
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

// close lets no new turn start. It returns a channel that is closed when the last turn has ended. open must be called
// before the next close.
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

// open lets turns start again.
func (g *turnGate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opens != nil {
		close(g.opens)
		g.opens, g.idle = nil, nil
	}
}
