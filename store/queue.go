package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// defaultQueue limits how many updates wait for the disk.
const defaultQueue = 100_000

var (
	errClosed = errors.New("store is closed")
	errNoID   = errors.New("it has no id")
	// errFull means that too many finished calls wait for the disk.
	errFull = errors.New("queue of finished calls is full")
)

type batch struct {
	finished map[string]*finish
	order    []*finish // oldest first
	jobs     []job
}

// job is other work that needs the writing connection.
type job struct {
	run  func(context.Context, *sql.Conn) error // nil if the caller only waits for the commit
	done chan error
}

func newBatch() *batch {
	return &batch{finished: map[string]*finish{}}
}

func (b *batch) empty() bool {
	return len(b.order) == 0 && len(b.jobs) == 0
}

// queue collects the work that the writer takes next.
type queue struct {
	limit  int           // constant
	wake   chan struct{} // holds one token while work is pending
	urgent chan struct{} // holds one token while the next transaction must not wait
	// closing is closed when the store closes.
	closing chan struct{}

	mu      sync.Mutex
	pending *batch
	taken   []*finish // held by the writer
	closed  bool
	room    chan struct{} // closed and replaced when entries were written
}

func newQueue(limit int) *queue {
	return &queue{
		limit: limit, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), closing: make(chan struct{}),
		pending: newBatch(), room: make(chan struct{}),
	}
}

func (q *queue) signal() { wake(q.wake) }

// wake puts a token into a channel, unless it holds one.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (q *queue) size() int { return len(q.pending.order) + len(q.taken) }

// put queues a finished call. If the queue is full, it returns a channel that is closed when there is room.
func (q *queue) put(f *finish) (full <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errClosed
	}
	if before, twice := q.pending.finished[f.id]; twice {
		before.done = append(before.done, f.done...)
		return nil, nil
	}
	if q.size() >= q.limit {
		return q.room, nil
	}
	q.pending.finished[f.id] = f
	q.pending.order = append(q.pending.order, f)
	if len(q.pending.order) == commitAt {
		q.hurry()
	}
	q.signal()
	return nil, nil
}

func (q *queue) ask(j job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed
	}
	q.pending.jobs = append(q.pending.jobs, j)
	q.hurry()
	q.signal()
	return nil
}

// hurry makes the writer start the next transaction without waiting.
func (q *queue) hurry() { wake(q.urgent) }

// take returns everything that is pending, for the writer.
func (q *queue) take() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.pending
	q.pending = newBatch()
	q.taken = b.order
	return b
}

// written makes room after a commit.
func (q *queue) written() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken = nil
	close(q.room)
	q.room = make(chan struct{})
}

// unwritten returns the finished calls that are not committed.
func (q *queue) unwritten() []*finish {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Concat(q.taken, q.pending.order)
}

// restore puts back a batch that could not be written.
func (q *queue) restore(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.pending
	for _, f := range p.order {
		if old, twice := b.finished[f.id]; twice {
			old.done = append(old.done, f.done...)
			continue
		}
		b.finished[f.id] = f
		b.order = append(b.order, f)
	}
	b.jobs = append(b.jobs, p.jobs...)
	q.pending, q.taken = b, nil
	q.signal()
}

// close makes the queue refuse later work. It reports whether this was the first call.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := !q.closed
	if first {
		q.closed = true
		close(q.closing)
	}
	q.signal()
	return first
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// connection makes the writer do work other than keeping finished calls, and waits for the result.
type connection struct {
	queue   *queue
	done    chan struct{} // closed when the writer has ended
	failing func() error  // Store.Err
}

// do waits until run has used the writing connection and all work that was pending before is committed. Errors start
// with what.
func (c *connection) do(ctx context.Context, what string, run func(context.Context, *sql.Conn) error) error {
	done := make(chan error, 1)
	if err := c.queue.ask(job{run: run, done: done}); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return c.wait(ctx, done, what)
}

func (c *connection) wait(ctx context.Context, done <-chan error, what string) error {
	var err error
	select {
	case err = <-done:
	case <-c.done:
		select {
		case err = <-done:
		default:
			err = errClosed
		}
	case <-ctx.Done():
		if err := c.failing(); err != nil {
			return fmt.Errorf("%s: %w (%w)", what, ctx.Err(), err)
		}
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
