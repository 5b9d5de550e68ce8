package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// load measures how long messages wait for the process: datagrams in their socket, messages of
// connections until a goroutine runs. As with CoDel (RFC 8289), a queue that
// drains now and then is no overload: new calls are refused only if every message of
// an interval has waited for too long. The interval is as long as the limit: a queue
// that stands for twice the limit is refused from, and a shorter pause of the process
// is not.
type load struct {
	limit   time.Duration // and the interval, if it holds two measurements
	probing atomic.Bool   // a goroutine measures

	mu    sync.Mutex // guards the fields below
	since time.Time  // every message since then has waited for too long; zero means not so
	last  time.Time  // measured
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

// overloaded reports whether new calls should be refused.
func (l *load) overloaded(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over && now.Sub(l.last) <= loadMemory
}

// due reports whether it is time for another measurement.
func (l *load) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.last) >= probeEvery
}

// waited takes how long a datagram that was read just now was in its socket. Its turn follows at
// once. What waits for a processor comes before the next one where several wait (Turns), so the
// socket shows that queue, too.
func (l *load) waited(read time.Time, d time.Duration) {
	if l.due(read) {
		l.note(read, d)
	}
}

// probe measures how long a message of a connection, which was read just now, will wait for the
// goroutine of its call. It starts a goroutine of its own just before that one is started or woken,
// from the same goroutine.
func (l *load) probe(run func(func()), read time.Time) {
	if !l.due(read) || !l.probing.CompareAndSwap(false, true) {
		return
	}
	run(func() {
		now := time.Now()
		l.note(now, now.Sub(read))
		l.probing.Store(false)
	})
}
