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
// rested gives the reason why calls do not rest yet; nil: they do. It is asked again and again.
//
// A stack that was not served yet may be frozen, too.
func (s *Stack) Freeze(ctx context.Context, rested func() error) error {
	s.still.stop()
	s.setDeadlines(longAgo)
	if rested == nil {
		rested = func() error { return nil }
	}
	written := errUnless("a connection is being opened, or its peer does not read",
		func() bool { return s.writing.Load() == 0 })
	for _, step := range []func() error{
		errUnless("a socket or connection is still read, because its peer does not read", s.still.stopped),
		written, s.shutWhen(rested), written,
	} {
		if err := until(ctx, step); err != nil {
			s.Serve()
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
	s.transactions.Freeze()
	return nil
}

// errUnless returns a step for until: it gives an error as long as something is not so.
func errUnless(what string, is func() bool) func() error {
	err := errors.New(what)
	return func() error {
		if is() {
			return nil
		}
		return err
	}
}

// until waits until done gives no error. If the context ends before, it returns the last one.
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

// errTurn means that a turn runs. The other turns wait until it has ended.
var errTurn = errors.New("a turn of a call takes long")

// shutWhen keeps turns from running when calls have rested. It gives an error until they do and none runs.
func (s *Stack) shutWhen(rested func() error) func() error {
	var still func() bool
	return func() error {
		if still != nil && !still() {
			return errTurn
		}
		why := rested()
		switch {
		case why == nil && still != nil:
			return nil
		case why == nil:
			still, why = s.shut(), errTurn
		case still != nil: // a deadline was faster
			still = nil
			s.turns.gate.open()
		}
		return why
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
