package transport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// readFreeze stops and restarts all readers of a stack. Readers do not run before the first Serve either.
type readFreeze struct {
	freezing atomic.Bool // readers must stop

	mu      sync.Mutex // guards the fields below, and is held when freezing changes
	reading int
	paused  []func() // each function restarts a paused reader
}

// addPaused adds a reader that does not run yet. thaw will call begin to start it.
func (s *readFreeze) addPaused(begin func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freezing.Store(true)
	s.paused = append(s.paused, begin)
}

// started counts a reader that starts now. During a freeze it returns false, and the reader must not start; thaw will
// call begin later.
func (s *readFreeze) started(begin func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freezing.Load() {
		s.paused = append(s.paused, begin)
		return false
	}
	s.reading++
	return true
}

// pause reports whether a reader must stop because of a freeze. Then thaw will call begin to restart it.
func (s *readFreeze) pause(begin func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.freezing.Load() {
		return false
	}
	s.reading--
	s.paused = append(s.paused, begin)
	return true
}

// readerStopped notes that a reader has ended for good.
func (s *readFreeze) readerStopped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading--
}

// freeze asks all readers to stop.
func (s *readFreeze) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freezing.Store(true)
}

// thaw restarts the paused readers.
func (s *readFreeze) thaw() {
	s.mu.Lock()
	paused := s.paused
	s.paused = nil
	s.reading += len(paused)
	s.freezing.Store(false)
	s.mu.Unlock()
	for _, begin := range paused {
		begin()
	}
}

// allStopped reports whether all readers have stopped.
func (s *readFreeze) allStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.freezing.Load() && s.reading == 0
}

// longAgo is a read deadline in the past, which wakes readers.
var longAgo = time.Unix(1, 0) //nolint:gochecknoglobals // constant

// errFrozen tells a reader to stop because the stack is frozen.
var errFrozen = errors.New("nothing is read now")

// Freeze stops the stack until Serve: it reads nothing, accepts no connection, runs no turn of a call, and repeats no
// message. Messages that arrive meanwhile wait in the kernel. Freeze returns when the last turn has ended. If ctx ends
// first, Freeze returns an error, and the stack continues to serve.
//
// rested returns nil if no call has anything left to do, and otherwise the reason. Freeze calls it repeatedly. It may
// be nil.
//
// Freeze may also be called before the first Serve.
func (s *Stack) Freeze(ctx context.Context, rested func() error) error {
	s.reads.freeze()
	s.setDeadlines(longAgo)
	if rested == nil {
		rested = func() error { return nil }
	}
	written := errUnless("a connection is being opened, or its peer does not read",
		func() bool { return s.writing.Load() == 0 })
	for _, step := range []func() error{
		errUnless("a socket or connection is still read, because its peer does not read", s.reads.allStopped),
		written, s.closeGateWhen(rested), written,
	} {
		if err := until(ctx, step); err != nil {
			s.Serve()
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
	s.transactions.Freeze()
	return nil
}

// errUnless returns a step for until, which succeeds when is returns true. what names the reason in the step's error.
func errUnless(what string, is func() bool) func() error {
	err := errors.New(what)
	return func() error {
		if is() {
			return nil
		}
		return err
	}
}

// until calls done repeatedly until it returns nil. If the context ends first, until returns the last error of done.
func until(ctx context.Context, done func() error) (err error) {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for err = done(); err != nil; err = done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
	return nil
}

// setDeadlines sets the read deadline of all sockets and connections, and the accept deadline of all listeners.
func (s *Stack) setDeadlines(at time.Time) {
	for _, g := range s.sockets {
		_ = g.SetReadDeadline(at)
	}
	for _, l := range s.listeners {
		if d, ok := l.Listener.(interface{ SetDeadline(t time.Time) error }); ok {
			_ = d.SetDeadline(at)
		}
	}
	for _, c := range s.streams.all() {
		_ = c.SetReadDeadline(at)
	}
}

// all returns all connections, including those that no new call uses.
func (s *streams) all() []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.every))
}

// errTurn means that a turn is still running, so that others wait.
var errTurn = errors.New("a turn of a call takes long")

// closeGateWhen returns a step for until. The step lets no new turn run once calls are idle, and succeeds when the
// last turn has ended as well.
func (s *Stack) closeGateWhen(rested func() error) func() error {
	var idle func() bool
	return func() error {
		if idle != nil && !idle() {
			return errTurn
		}
		why := rested()
		switch {
		case why == nil && idle != nil:
			return nil
		case why == nil:
			idle, why = s.closeGate(), errTurn
		case idle != nil: // a deadline has made a call busy again, so try once more
			idle = nil
			s.turns.gate.open()
		}
		return why
	}
}

// closeGate lets no new turn run. stopped reports whether the last turn has ended.
func (s *Stack) closeGate() (stopped func() bool) {
	idle := s.turns.gate.close()
	return func() bool {
		select {
		case <-idle:
			return true
		default:
			return false
		}
	}
}

// thaw lets turns and transactions continue.
func (s *Stack) thaw() {
	s.turns.gate.open()
	s.transactions.Thaw()
}
