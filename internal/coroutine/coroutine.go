// Package coroutine has work begin on the goroutine of its caller, and go on elsewhere where it has to wait. To begin
// it on a goroutine of its own would wake a thread, which costs more than to write a request.
package coroutine

import (
	"context"
	"iter"
	"sync"
)

// Pool runs works, each on a coroutine (iter.Pull). It keeps coroutines between works: the stack of a new one would
// have to grow.
type Pool struct {
	// Apart has a goroutine run what would block its caller.
	Apart func(func())

	all sync.WaitGroup // the works

	mu     sync.Mutex // guards what follows
	idle   []*worker
	closed bool
}

// maxIdle is how many coroutines are kept at most.
const maxIdle = 64

// worker is a coroutine. One goroutine at a time runs it.
type worker struct {
	of     *Pool
	ctx    context.Context
	work   func(context.Context)
	yield  func(parking) bool
	resume func() (parking, bool)
	stop   func()
	rest   func() // goOn
}

// parking takes what runs the rest of a work; nil: the work is over.
type parking func(rest func())

type key struct{}

// Begin begins a work, and returns when it is over or waits (Park, Apart). The context that the work gets says which
// one it is, and is of no use to other goroutines. A work handles its panics.
func (p *Pool) Begin(ctx context.Context, work func(context.Context)) {
	p.all.Add(1)
	w := p.take()
	w.ctx, w.work = context.WithValue(ctx, key{}, w), work
	w.goOn()
}

// take takes a coroutine that is idle, or a new one.
func (p *Pool) take() (w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		w, p.idle = p.idle[n-1], p.idle[:n-1]
		return w
	}
	w = &worker{of: p}
	w.rest = w.goOn
	w.resume, w.stop = iter.Pull(w.works)
	return w
}

// works is a coroutine's life.
func (w *worker) works(yield func(parking) bool) {
	w.yield = yield
	for more := true; more; more = yield(nil) {
		w.work(w.ctx)
		w.ctx, w.work = nil, nil
	}
}

// goOn runs the work until it is over or waits.
func (w *worker) goOn() {
	if to, _ := w.resume(); to != nil {
		to(w.rest) // from here on the coroutine is another goroutine's
		return
	}
	if !w.of.keep(w) {
		w.stop()
	}
	w.of.all.Done()
}

// keep keeps a coroutine for the next work; false: it is not needed.
func (p *Pool) keep(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, w)
	return true
}

// Close waits until every work is over, and ends the coroutines. No work begins any more.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, w := range idle {
		w.stop()
	}
	p.all.Wait()
}

// Park has the work of a context wait. to is given what runs the rest, to be called once, by a goroutine that may
// block. false: the context is of no work, so its goroutine has to wait itself.
func Park(ctx context.Context, to func(rest func())) bool {
	w, is := ctx.Value(key{}).(*worker)
	if is {
		w.yield(to)
	}
	return is
}

// Apart has the rest of a work, if the context is of one, run where it may block. Whatever a work may wait in calls it
// before, or Park. A work that blocks without that keeps its caller waiting.
func Apart(ctx context.Context) {
	if w, is := ctx.Value(key{}).(*worker); is {
		w.yield(w.of.Apart)
	}
}
