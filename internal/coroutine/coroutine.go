// Package coroutine runs a task on its caller's goroutine until the task has to wait. Then another goroutine continues
// the task. Starting a goroutine for each task would wake a thread, which costs more than writing a request.
package coroutine

import (
	"context"
	"iter"
	"sync"
)

// Pool runs tasks, each on a coroutine (iter.Pull). It reuses coroutines, because the stack of a new one would have to
// grow.
type Pool struct {
	// Go runs, on another goroutine, a function that would block its caller.
	Go func(func())

	all sync.WaitGroup // the tasks

	mu     sync.Mutex // guards the fields below
	idle   []*runner
	closed bool
}

// maxIdle bounds the number of idle coroutines that are kept.
const maxIdle = 64

// runner is a coroutine. One goroutine at a time runs it.
type runner struct {
	of     *Pool
	ctx    context.Context
	task   func(context.Context)
	yield  func(waiting) bool
	step   func() (waiting, bool)
	stop   func()
	resume func() // the method run
}

// waiting receives the function that continues a task. It is nil if the task is over.
type waiting func(resume func())

type key struct{}

// Begin starts a task, and returns when it is over or waits (Park, Leave). The task's context identifies it, and must
// not be used by another task. A task handles its own panics.
func (p *Pool) Begin(ctx context.Context, task func(context.Context)) {
	p.all.Add(1)
	r := p.take()
	r.ctx, r.task = context.WithValue(ctx, key{}, r), task
	r.run()
}

// take takes an idle coroutine, or a new one.
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

// tasks is the body of a coroutine: it runs one task after another.
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
		to(r.resume) // from here on, another goroutine runs the coroutine
		return
	}
	if !r.of.keep(r) {
		r.stop()
	}
	r.of.all.Done()
}

// keep keeps a coroutine for the next task. It returns false if the coroutine is not needed.
func (p *Pool) keep(r *runner) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, r)
	return true
}

// Close waits until every task is over, and ends the coroutines. No task may be started after that.
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

// Park suspends the task of a context. to receives the function that continues the task; a goroutine that may block
// must call it once. Park returns false if the context does not belong to a task. In that case the caller's goroutine
// must wait itself.
func Park(ctx context.Context, to func(resume func())) bool {
	r, is := ctx.Value(key{}).(*runner)
	if is {
		r.yield(to)
	}
	return is
}

// Leave moves the task of a context to a goroutine where it may block. Without a task it does nothing. A function in
// which a task may wait must call Leave or Park first. If a task blocks without that, its caller has to wait.
func Leave(ctx context.Context) {
	if r, is := ctx.Value(key{}).(*runner); is {
		r.yield(r.of.Go)
	}
}
