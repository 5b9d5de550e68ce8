package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// load measures how long messages wait for the process: datagrams in their socket, and messages of connections until a
// goroutine runs. As with CoDel (RFC 8289), a queue that drains now and then is no overload: new calls are refused
// only if every message of an interval has waited for longer than the limit. The interval is as long as the limit:
// calls are refused when a queue has lasted for twice the limit, but not because of a shorter pause of the process.
type load struct {
	limit   time.Duration // longest permitted wait, and length of the interval, which needs two measurements
	probing atomic.Bool   // a measurement by probe is in progress

	mu    sync.Mutex // guards the fields below
	since time.Time  // every message since then has waited too long; zero means that the last one did not
	last  time.Time  // time of the last measurement
	over  bool
}

const (
	probeEvery = 5 * time.Millisecond
	// loadMemory is how long a measurement counts: without messages there is no load.
	loadMemory = time.Second
)

// note records how long a message has waited.
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

// due reports whether the last measurement is long enough ago for another one.
func (l *load) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.last) >= probeEvery
}

// waited records that a datagram, which was read just now, has waited in its socket for d. Its turn follows at once,
// so this is its whole wait. If several datagrams wait, goroutines that are ready run before the next datagram is read
// (Turns), so the wait includes their work.
func (l *load) waited(read time.Time, d time.Duration) {
	if l.due(read) {
		l.note(read, d)
	}
}

// probe measures how long a message of a connection, which was read just now, will wait for the goroutine of its call.
// It starts a goroutine in the same way, just before the call's goroutine is started or woken, and takes the time
// until it runs.
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
