// Package coroutine runs a task on the goroutine of its caller until the task has to wait. Another goroutine then
// continues it. To begin it on a goroutine of its own would wake a thread, which costs more than to write a request.
package coroutine

import (
	"context"
	"iter"
	"sync"
)

// Pool runs tasks, each on a coroutine (iter.Pull). It keeps coroutines between tasks: the stack of a new one would
// have to grow.
type Pool struct {
	// Go has a goroutine continue what would block its caller.
	Go func(func())

	all sync.WaitGroup // the tasks

	mu     sync.Mutex // guards what follows
	idle   []*runner
	closed bool
}

// maxIdle is how many coroutines are kept at most.
const maxIdle = 64

// runner is a coroutine. One goroutine at a time runs it.
type runner struct {
	of     *Pool
	ctx    context.Context
	task   func(context.Context)
	yield  func(waiting) bool
	step   func() (waiting, bool)
	stop   func()
	resume func() // run
}

// waiting is given what continues a task; nil: the task is over.
type waiting func(resume func())

type key struct{}

// Begin begins a task, and returns when it is over or waits (Park, Leave). The context that the task gets says which
// one it is, and belongs to the task alone. A task handles its panics.
func (p *Pool) Begin(ctx context.Context, task func(context.Context)) {
	p.all.Add(1)
	r := p.take()
	r.ctx, r.task = context.WithValue(ctx, key{}, r), task
	r.run()
}

// take takes a coroutine that is idle, or a new one.
func (p *Pool) take() (r *runner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		r, p.idle = p.idle[n-1], p.idle[:n-1]
		return r
	}
	r = &runner{of: p}
	r.resume = r.run
	r.step, r.stop = iter.Pull(r.tasks)
	return r
}

// tasks is a coroutine's life.
func (r *runner) tasks(yield func(waiting) bool) {
	r.yield = yield
	for more := true; more; more = yield(nil) {
		r.task(r.ctx)
		r.ctx, r.task = nil, nil
	}
}

// run runs the task until it is over or waits.
func (r *runner) run() {
	if to, _ := r.step(); to != nil {
		to(r.resume) // from here on the coroutine is another goroutine's
		return
	}
	if !r.of.keep(r) {
		r.stop()
	}
	r.of.all.Done()
}

// keep keeps a coroutine for the next task; false: it is not needed.
func (p *Pool) keep(r *runner) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, r)
	return true
}

// Close waits until every task is over, and ends the coroutines. No task begins any more.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, r := range idle {
		r.stop()
	}
	p.all.Wait()
}

// Park has the task of a context wait. to is given what continues it, to be called once, by a goroutine that may block.
// false: the context belongs to no task, so its goroutine has to wait itself.
func Park(ctx context.Context, to func(resume func())) bool {
	r, is := ctx.Value(key{}).(*runner)
	if is {
		r.yield(to)
	}
	return is
}

// Leave has another goroutine continue the task of a context, where it may block. Without a task it does nothing. Each
// function in which a task may wait calls Leave or Park before. A task that blocks without that keeps its caller
// waiting.
func Leave(ctx context.Context) {
	if r, is := ctx.Value(key{}).(*runner); is {
		r.yield(r.of.Go)
	}
}
