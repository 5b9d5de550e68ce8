package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// load knows how long messages wait for the process: in the socket, until they
// are read, and from then until a goroutine that was started for them runs. As
// with CoDel (RFC 8289), a queue that drains now and then is none: only where
// each message of an interval has waited for too long, new calls are refused.
type load struct {
	limit  time.Duration
	probed atomic.Int64 // when a message was measured last, in nanoseconds; one is at a time
	busy   atomic.Bool

	mu    sync.Mutex
	since time.Time // every message since then has waited for too long; zero: not so
	last  time.Time // measured
	over  bool
}

const (
	loadInterval = 100 * time.Millisecond
	probeEvery   = 5 * time.Millisecond
	// loadMemory is how long a measurement says something: without messages
	// there is no load.
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
	case now.Sub(l.since) >= loadInterval:
		l.over = true
	}
}

// overloaded says whether new calls should be refused.
func (l *load) overloaded(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over && now.Sub(l.last) <= loadMemory
}

// probe measures how long a message, which waited in its socket already, will
// wait for its goroutine: it is called just before the library starts that one,
// from the same goroutine, and starts one itself.
func (l *load) probe(run func(func()), waited time.Duration, read time.Time) {
	if read.UnixNano()-l.probed.Load() < int64(probeEvery) || !l.busy.CompareAndSwap(false, true) {
		return
	}
	l.probed.Store(read.UnixNano())
	run(func() {
		now := time.Now()
		l.note(now, waited+now.Sub(read))
		l.busy.Store(false)
	})
}
