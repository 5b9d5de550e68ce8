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

// stillness says whether anything is read, and knows the readers. Before the first Serve nothing is.
type stillness struct {
	on atomic.Bool // nothing is read

	mu      sync.Mutex // guards what follows, and changes of on
	reading int
	rest    []func() // what has those read that rest
}

// add adds a reader that rests; begin has it read.
func (s *stillness) add(begin func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on.Store(true)
	s.rest = append(s.rest, begin)
}

// begun adds a reader that reads, unless nothing is read now: then begin has it read later.
func (s *stillness) begun(begin func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on.Load() {
		s.rest = append(s.rest, begin)
		return false
	}
	s.reading++
	return true
}

// rests has a reader rest, which begin has read again; false: it should read on.
func (s *stillness) rests(begin func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on.Load() {
		return false
	}
	s.reading--
	s.rest = append(s.rest, begin)
	return true
}

// readerStopped notes that a reader has ended.
func (s *stillness) readerStopped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading--
}

// stop has nothing read from now on.
func (s *stillness) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on.Store(true)
}

// resume has the resting readers read again.
func (s *stillness) resume() {
	s.mu.Lock()
	rest := s.rest
	s.rest = nil
	s.reading += len(rest)
	s.on.Store(false)
	s.mu.Unlock()
	for _, begin := range rest {
		begin()
	}
}

// stopped reports whether all readers have stopped.
func (s *stillness) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on.Load() && s.reading == 0
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0) //nolint:gochecknoglobals // constant

// errStill means that nothing is read now.
var errStill = errors.New("nothing is read now")

// Freeze has the stack stand still until Serve: nothing is read or accepted, no turn runs, no transaction is repeated.
// Messages that come until then wait in the kernel. It returns when nothing is under way any more; if ctx ends before,
// the stack serves on.
//
// rested says whether no turn is to come of what was read; nil: it is so.
//
// A stack that was not served yet may be frozen, too.
func (s *Stack) Freeze(ctx context.Context, rested func() bool) error {
	s.still.stop()
	s.setDeadlines(longAgo)
	if rested == nil {
		rested = func() bool { return true }
	}
	for _, step := range []struct {
		what string
		done func() bool
	}{
		{"a socket or connection is still read, because its peer does not read", s.still.stopped},
		{"a connection is being opened, or its peer does not read", func() bool { return s.writing.Load() == 0 }},
		{"a turn of a call takes long", s.shutWhen(rested)},
		{"a connection is being opened, or its peer does not read", func() bool { return s.writing.Load() == 0 }},
	} {
		if !until(ctx, step.done) {
			s.Serve()
			return fmt.Errorf("%s: %w", step.what, ctx.Err())
		}
	}
	s.transactions.Freeze()
	return nil
}

// until waits until something is so; false: the context has ended.
func until(ctx context.Context, is func() bool) bool {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// setDeadlines sets the deadline of everything that is read or accepted.
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

// all gives the connections that may be read.
func (s *streams) all() []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.every))
}

// shutWhen keeps turns from running when calls have rested, and says when they do and none runs.
func (s *Stack) shutWhen(rested func() bool) func() bool {
	var still func() bool
	return func() bool {
		switch {
		case still == nil && rested():
			still = s.shut()
			return false
		case still == nil || !still():
			return false
		case rested():
			return true
		}
		still = nil // a deadline was faster
		s.turns.gate.open()
		return false
	}
}

// shut keeps turns from running, and says when none does.
func (s *Stack) shut() (still func() bool) {
	shut := s.turns.gate.shut()
	return func() bool {
		select {
		case <-shut:
			return true
		default:
			return false
		}
	}
}

// thaw lets turns and transactions go on.
func (s *Stack) thaw() {
	s.turns.gate.open()
	s.transactions.Thaw()
}
