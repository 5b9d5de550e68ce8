package transport

import (
	"slices"
	"sync"
	"time"
)

// Turns runs turns, short pieces of work of a call, on goroutines that it keeps between them: the stack
// of a new one would have to grow in nearly every turn.
//
// To wake a goroutine costs as much as a turn. So the goroutine that has read a datagram runs the turn
// that this begins, and then reads the next one. That one need not wait for the turn:
//
//   - If the first has waited in its socket, others wait there, too, and there is work for more than one
//     processor. Another goroutine reads on at once.
//   - If the turn takes long, because it waits for a disk for example, another goroutine reads on after
//     a while.
//
// In both cases the first goroutine is no reader any more once its turn is over. One goroutine at a time
// reads a socket, and what it has read is posted before another one reads. So the messages of a socket
// keep their order.
type Turns struct {
	all  sync.WaitGroup // the goroutines
	gate turnGate

	mu         sync.Mutex      // guards what follows, and the readers
	idle       []chan<- func() // the goroutines that wait for work, the latest last
	readers    []*reader
	handling   int         // readers that handle a message
	begun      []func()    // turns for these, the oldest first; one for each at most
	taken      uint64      // turns that readers have taken
	checked    uint64      // taken when checkReaders ran last
	checkTimer *time.Timer // runs checkReaders; nil: it has never been needed
	checkSet   bool        // the timer is set
	closed     bool
}

const (
	// maxIdle is how many goroutines wait at most.
	maxIdle = 64
	// behind is how long a message has waited in its socket where others wait, too.
	behind = 2 * time.Millisecond
	// longTurn is how long a turn takes before another goroutine reads on, or twice that.
	longTurn = 10 * time.Millisecond
)

// reader is the role of reading one socket; goroutines take it over from each other.
type reader struct {
	turns *Turns
	serve func() // reads until the socket is closed, or run says that another goroutine reads

	// guarded by the lock of turns
	handles bool
	turn    uint64 // number of the turn that the socket's reader runs; 0: none
}

// newReader makes the reader of a socket.
func (t *Turns) newReader(serve func()) *reader {
	r := &reader{turns: t, serve: serve}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers = append(t.readers, r)
	return r
}

// forget forgets a reader that reads no more.
func (t *Turns) forget(r *reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers = slices.DeleteFunc(t.readers, func(other *reader) bool { return other == r })
}

// Begin begins a turn.
func (t *Turns) Begin(turn func()) {
	t.mu.Lock()
	if len(t.begun) == t.handling {
		idle := t.takeIdle()
		t.mu.Unlock()
		t.start(idle, turn)
		return
	}
	t.begun = append(t.begun, turn)
	if !t.checkSet {
		t.scheduleCheck()
	}
	t.mu.Unlock()
}

// scheduleCheck has checkReaders run after a while. The lock is held.
func (t *Turns) scheduleCheck() {
	t.checkSet = true
	if t.checkTimer == nil {
		t.checkTimer = time.AfterFunc(longTurn, t.checkReaders)
	} else {
		t.checkTimer.Reset(longTurn)
	}
}

// checkReaders has other goroutines read in place of those whose turn takes long. It also gives away a turn that
// waits for a reader while none takes any. It runs again as long as readers take turns.
func (t *Turns) checkReaders() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checkSet = false
	if t.closed {
		return
	}
	for _, r := range t.readers {
		if r.turn != 0 && r.turn <= t.checked {
			r.turn = 0
			t.start(t.takeIdle(), r.serve)
		}
	}
	if t.taken != t.checked {
		t.checked = t.taken
		t.scheduleCheck()
		return
	}
	for _, turn := range t.begun {
		t.start(t.takeIdle(), turn)
	}
	clear(t.begun)
	t.begun = t.begun[:0]
}

// Go does something on a goroutine of its own.
func (t *Turns) Go(work func()) {
	t.mu.Lock()
	idle := t.takeIdle()
	t.mu.Unlock()
	t.start(idle, work)
}

// takeIdle takes a goroutine that waits for work; nil: none does. The lock is held.
func (t *Turns) takeIdle() (next chan<- func()) {
	if n := len(t.idle); n > 0 {
		next, t.idle = t.idle[n-1], t.idle[:n-1]
	}
	return next
}

// start has an idle goroutine do something, or a new one where there is none.
func (t *Turns) start(idle chan<- func(), work func()) {
	if idle != nil {
		idle <- work // has room
		return
	}
	t.all.Go(func() { t.work(work) })
}

// work is a goroutine's life.
func (t *Turns) work(work func()) {
	next := make(chan func(), 1)
	for ; work != nil; work = <-next {
		work()
		if !t.wait(next) {
			return
		}
	}
}

// wait has a goroutine wait for more work; false: it is not needed.
func (t *Turns) wait(next chan<- func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.idle) >= maxIdle {
		return false
	}
	t.idle = append(t.idle, next)
	return true
}

// Close ends the goroutines that wait, and returns when none runs any more. No socket is read any more.
func (t *Turns) Close() {
	t.mu.Lock()
	t.closed = true
	if t.checkTimer != nil {
		t.checkTimer.Stop()
	}
	for _, next := range t.idle {
		close(next)
	}
	t.idle = nil
	t.mu.Unlock()
	t.all.Wait()
}

// startMessage says that the reader handles a message: a turn that is begun now is its to run.
func (r *reader) startMessage() {
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	r.handles = true
	t.handling++
}

// run runs the turn that was begun while the reader handled a message which had waited for so long;
// false: another goroutine reads by now.
func (r *reader) run(waited time.Duration) (reads bool) {
	turn, number := r.take()
	if turn == nil {
		return true
	}
	if waited >= behind && r.release(number) {
		r.turns.Go(r.serve)
	}
	turn()
	return r.release(number)
}

// take takes the turn that was begun, if one was.
func (r *reader) take() (turn func(), number uint64) {
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if !r.handles {
		return nil, 0
	}
	r.handles = false
	t.handling--
	if len(t.begun) == 0 {
		return nil, 0
	}
	turn = t.begun[0]
	t.begun = slices.Delete(t.begun, 0, 1)
	t.taken++
	r.turn = t.taken
	return turn, t.taken
}

// release ends the reader's part in its turn with this number; false: another goroutine reads by now.
func (r *reader) release(number uint64) bool {
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.turn != number {
		return false
	}
	r.turn = 0
	return true
}

// busy reports whether the goroutine that reads the socket runs a turn.
func (r *reader) busy() bool {
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	return r.turn != 0
}
