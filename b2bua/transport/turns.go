package transport

import (
	"slices"
	"sync"
	"time"
)

// Turns runs turns, short pieces of work of a call, on goroutines that it reuses: a new goroutine's stack would have to
// grow in nearly every turn.
//
// Waking a goroutine costs as much as a turn. So the goroutine that has read a datagram runs the turn that the datagram
// begins, and then reads the next one. The next datagram does not always wait for the turn:
//
//   - If the first datagram has waited in its socket, others wait there, too, and there is work for more than one
//     processor. Another goroutine takes over reading at once.
//   - If the turn takes long, because it waits for a disk for example, another goroutine takes over reading after a
//     while.
//
// In both cases the first goroutine stops reading once its turn is over. Only one goroutine at a time reads a socket,
// and it posts the message that it has read before another one reads. So the messages of a socket keep their order.
type Turns struct {
	all  sync.WaitGroup // the goroutines
	gate turnGate

	mu         sync.Mutex      // guards the fields below, and the readers
	idle       []chan<- func() // the goroutines that wait for work, the latest last
	readers    []*reader
	handling   int         // readers that handle a message
	begun      []func()    // turns for these readers, the oldest first; at most one for each
	taken      uint64      // number of turns that readers have taken
	checked    uint64      // value of taken when checkReaders last ran
	checkTimer *time.Timer // runs checkReaders; nil until it is needed
	checkSet   bool        // the timer is set
	closed     bool
}

const (
	// maxIdle bounds the goroutines that wait for work.
	maxIdle = 64
	// behind is the time that a message has waited in its socket if others probably wait, too.
	behind = 2 * time.Millisecond
	// longTurn is how long a turn runs before another goroutine takes over reading, at most twice that.
	longTurn = 10 * time.Millisecond
)

// reader is the role of reading one socket; goroutines take it over from each other.
type reader struct {
	turns *Turns
	serve func() // reads until the socket is closed, or until run returns false

	// guarded by the lock of turns
	handles bool
	turn    uint64 // number of the turn that the socket's reader runs; 0 if none
}

// newReader returns the reader of a socket.
func (t *Turns) newReader(serve func()) *reader {
	r := &reader{turns: t, serve: serve}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers = append(t.readers, r)
	return r
}

// forget removes a reader that has stopped.
func (t *Turns) forget(r *reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers = slices.DeleteFunc(t.readers, func(other *reader) bool { return other == r })
}

// Begin runs a turn on a reader that is handling a message, once it has finished, or on another goroutine if there is
// none.
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

// scheduleCheck makes checkReaders run after longTurn. The caller holds the lock.
func (t *Turns) scheduleCheck() {
	t.checkSet = true
	if t.checkTimer == nil {
		t.checkTimer = time.AfterFunc(longTurn, t.checkReaders)
	} else {
		t.checkTimer.Reset(longTurn)
	}
}

// checkReaders replaces readers whose turn takes long by other goroutines. If no reader takes turns, it also passes a
// waiting turn to another goroutine. It runs again as long as readers take turns.
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

// Go runs work on a goroutine of its own.
func (t *Turns) Go(work func()) {
	t.mu.Lock()
	idle := t.takeIdle()
	t.mu.Unlock()
	t.start(idle, work)
}

// takeIdle takes a goroutine that waits for work, or returns nil if there is none. The caller holds the lock.
func (t *Turns) takeIdle() (next chan<- func()) {
	if n := len(t.idle); n > 0 {
		next, t.idle = t.idle[n-1], t.idle[:n-1]
	}
	return next
}

// start runs work on an idle goroutine, or on a new one if idle is nil.
func (t *Turns) start(idle chan<- func(), work func()) {
	if idle != nil {
		idle <- work // never blocks, because the channel has room
		return
	}
	t.all.Go(func() { t.work(work) })
}

// work is the main function of a goroutine that runs turns.
func (t *Turns) work(work func()) {
	next := make(chan func(), 1)
	for ; work != nil; work = <-next {
		work()
		if !t.wait(next) {
			return
		}
	}
}

// wait makes a goroutine wait for more work. It returns false if the goroutine should end.
func (t *Turns) wait(next chan<- func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.idle) >= maxIdle {
		return false
	}
	t.idle = append(t.idle, next)
	return true
}

// Close ends the waiting goroutines, and returns when none runs any more. By then no socket may be read.
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

// startMessage records that the reader handles a message: it will run a turn that is begun now.
func (r *reader) startMessage() {
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	r.handles = true
	t.handling++
}

// run runs the turn, if any, that was begun while the reader handled a message. waited is how long the message was in
// its socket. run returns false if another goroutine has taken over reading.
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

// take takes the turn that was begun, if any.
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

// release ends the reader's part in the turn with this number. It returns false if another goroutine has taken over
// reading.
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

// busy reports whether the goroutine that reads the socket is running a turn.
func (r *reader) busy() bool {
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	return r.turn != 0
}
