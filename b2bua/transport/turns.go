package transport

import (
	"slices"
	"sync"
	"time"
)

// Turns runs the turns of calls, which are short pieces of work, on goroutines that it reuses: a new goroutine's stack
// would have to grow in nearly every turn.
//
// Waking a goroutine costs as much as a turn. So the goroutine that has read a datagram runs the turn that the datagram
// starts, and then reads the next datagram. In two cases, the next datagram does not wait for the turn:
//
//   - If the first datagram has waited in its socket, others wait there, too, and there is work for more than one
//     processor. Another goroutine takes over reading at once.
//   - If the turn takes long, because it waits for a disk for example, another goroutine takes over reading after a
//     while.
//
// In both cases the first goroutine stops reading when its turn is over. Only one goroutine at a time reads a socket,
// and it posts the message that it has read before another one reads. So the messages of a socket keep their order.
type Turns struct {
	all  sync.WaitGroup // counts the goroutines
	gate turnGate

	mu         sync.Mutex      // guards the fields below, and those of the readers
	idle       []chan<- func() // channels of the goroutines that wait for work; the last one became idle last
	readers    []*reader
	handling   int         // number of readers that are handling a message
	begun      []func()    // turns that these readers will run, oldest first; at most one for each reader
	taken      uint64      // number of turns that readers have started
	checked    uint64      // value of taken when checkReaders last ran
	checkTimer *time.Timer // runs checkReaders; nil until it is needed
	checkSet   bool        // checkTimer is running
	closed     bool
}

const (
	// maxIdle bounds how many goroutines wait for work.
	maxIdle = 64
	// behind is how long a message has to have waited in its socket for us to assume that other messages wait there as
	// well.
	behind = 2 * time.Millisecond
	// longTurn is how long a turn may run before another goroutine takes over reading. It takes over after one to two
	// times this.
	longTurn = 10 * time.Millisecond
)

// reader is the role of reading one socket. Goroutines take it over from each other.
type reader struct {
	turns *Turns
	serve func() // reads until the socket is closed, or until run returns false

	// guarded by Turns.mu
	handles bool
	turn    uint64 // number of the turn that the goroutine reading the socket runs; 0 if it runs none
}

// newReader returns the reader of a socket. serve reads from the socket.
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

// Begin starts a turn. If a reader is handling a message, it runs the turn after that; otherwise another goroutine runs
// the turn now.
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

// scheduleCheck makes checkReaders run after longTurn. The caller must hold t.mu.
func (t *Turns) scheduleCheck() {
	t.checkSet = true
	if t.checkTimer == nil {
		t.checkTimer = time.AfterFunc(longTurn, t.checkReaders)
	} else {
		t.checkTimer.Reset(longTurn)
	}
}

// checkReaders lets another goroutine take over reading from each reader whose turn takes long. If no reader has
// started a turn since the last check, it also moves waiting turns to other goroutines. It is scheduled again as long
// as readers start turns.
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

// Go runs work on another goroutine, an idle one if there is any.
func (t *Turns) Go(work func()) {
	t.mu.Lock()
	idle := t.takeIdle()
	t.mu.Unlock()
	t.start(idle, work)
}

// takeIdle returns the channel of a goroutine that waits for work, or nil if there is none. The caller must hold t.mu.
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

// work is the main function of a goroutine: it runs work, and then waits for more.
func (t *Turns) work(work func()) {
	next := make(chan func(), 1)
	for ; work != nil; work = <-next {
		work()
		if !t.wait(next) {
			return
		}
	}
}

// wait offers a goroutine for more work. It returns false if the goroutine should end instead.
func (t *Turns) wait(next chan<- func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.idle) >= maxIdle {
		return false
	}
	t.idle = append(t.idle, next)
	return true
}

// Close ends the idle goroutines, and returns when all goroutines have ended. No socket may be read any more when it is
// called.
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

// startMessage notes that the reader handles a message, so that it can run a turn that is started now.
func (r *reader) startMessage() {
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	r.handles = true
	t.handling++
}

// run runs the turn that was started while the reader handled a message, if there is one. waited is how long the
// message was in its socket. run returns false if another goroutine has taken over reading.
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

// take removes and returns the turn for this reader and the turn's number, or nil if there is none.
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

// release notes that the turn with this number is over, or that another goroutine should read. It returns false if
// another goroutine has already taken over reading.
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
