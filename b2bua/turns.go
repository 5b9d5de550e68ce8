package b2bua

import "sync"

// turns runs the turns of calls, on goroutines that it keeps between them: the stack of a
// new one would have to grow in nearly every turn.
type turns struct {
	all sync.WaitGroup // the goroutines

	mu     sync.Mutex      // guards what follows
	idle   []chan<- func() // the goroutines that wait for a turn, the latest last
	closed bool
}

// maxIdle is how many goroutines wait at most.
const maxIdle = 64

// begin begins a turn.
func (t *turns) begin(turn func()) {
	t.mu.Lock()
	if n := len(t.idle); n > 0 {
		next := t.idle[n-1]
		t.idle = t.idle[:n-1]
		t.mu.Unlock()
		next <- turn
		return
	}
	t.mu.Unlock()
	t.all.Go(func() { t.run(turn) })
}

// run is a goroutine of calls.
func (t *turns) run(turn func()) {
	next := make(chan func(), 1)
	for ; turn != nil; turn = <-next {
		turn()
		if !t.wait(next) {
			return
		}
	}
}

// wait has a goroutine wait for its next turn; false: it is not needed.
func (t *turns) wait(next chan<- func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.idle) >= maxIdle {
		return false
	}
	t.idle = append(t.idle, next)
	return true
}

// close ends the goroutines that wait, and returns when none runs any more.
func (t *turns) close() {
	t.mu.Lock()
	t.closed = true
	for _, next := range t.idle {
		close(next)
	}
	t.idle = nil
	t.mu.Unlock()
	t.all.Wait()
}
