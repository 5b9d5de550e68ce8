package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// load measures how long messages wait for the process: in the socket until they are
// read, and then until their goroutine runs. As with CoDel (RFC 8289), a queue that
// drains now and then is no overload: new calls are refused only if every message of
// an interval has waited for too long. The interval is as long as the limit: a queue
// that stands for twice the limit is refused from, and a shorter pause of the process
// is not.
type load struct {
	limit  time.Duration // and the interval, if it holds two measurements
	busy   atomic.Bool   // a message is measured, or its turn is judged
	probed time.Time     // when one was measured last; guarded by busy

	mu    sync.Mutex
	since time.Time // every message since then has waited for too long; zero: not so
	last  time.Time // measured
	over  bool
}

const (
	probeEvery = 5 * time.Millisecond
	// loadMemory is how long a measurement counts: without messages there is no load.
	loadMemory = time.Second
)

// note takes a measurement.
func (l *load) note(now time.Time, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.last) > loadMemory {
		l.since, l.over = time.Time{}, false
	}
	l.last = now
	switch {
	case delay <= l.limit:
		l.since, l.over = time.Time{}, false
	case l.since.IsZero():
		l.since = now
	case now.Sub(l.since) >= max(l.limit, 2*probeEvery):
		l.over = true
	}
}

// overloaded says whether new calls should be refused.
func (l *load) overloaded(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over && now.Sub(l.last) <= loadMemory
}

// probe measures how long a message, which has waited in its socket, will wait for
// its goroutine. It starts a goroutine of its own just before the library starts that
// one, from the same goroutine.
func (l *load) probe(run func(func()), waited time.Duration, read time.Time) {
	if !l.busy.CompareAndSwap(false, true) {
		return
	}
	if read.Sub(l.probed) < probeEvery {
		l.busy.Store(false)
		return
	}
	l.probed = read
	run(func() {
		now := time.Now()
		l.note(now, waited+now.Sub(read))
		l.busy.Store(false)
	})
}
