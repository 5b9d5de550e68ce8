// Package coroutine runs a task on its caller's goroutine until the task has to wait. Another goroutine then continues
// it. Starting a goroutine for each task would wake a thread, which costs more than writing a request.
package coroutine

import (
	"context"
	"iter"
	"sync"
)

// Pool runs tasks, each on a coroutine (iter.Pull). It reuses coroutines, because the stack of a new one would have to
// grow.
type Pool struct {
	// Go runs, on another goroutine, what would block its caller.
	Go func(func())

	all sync.WaitGroup // the tasks

	mu     sync.Mutex // guards the fields below
	idle   []*runner
	closed bool
}

// maxIdle bounds how many idle coroutines are kept.
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

// waiting gets the function that continues a task. It is nil if the task is over.
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
		to(r.resume) // from here on the coroutine belongs to another goroutine
		return
	}
	if !r.of.keep(r) {
		r.stop()
	}
	r.of.all.Done()
}

// keep keeps a coroutine for the next task, and reports false if it is not needed.
func (p *Pool) keep(r *runner) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, r)
	return true
}

// Close waits until every task is over, and ends the coroutines. No task may start any more.
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

// Park suspends the task of a context. to gets the function that continues it, to be called once, by a goroutine that
// may block. Park reports false if the context belongs to no task: then its goroutine must wait itself.
func Park(ctx context.Context, to func(resume func())) bool {
	r, is := ctx.Value(key{}).(*runner)
	if is {
		r.yield(to)
	}
	return is
}

// Leave moves the task of a context to a goroutine where it may block. Without a task it does nothing. Each function in
// which a task may wait calls Leave or Park first. A task that blocks without this keeps its caller waiting.
func Leave(ctx context.Context) {
	if r, is := ctx.Value(key{}).(*runner); is {
		r.yield(r.of.Go)
	}
}
