package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// load measures how long messages wait for the process: datagrams in their socket,
// messages of connections until a goroutine runs. As with CoDel (RFC 8289), a queue that
// drains now and then is no overload: new calls are refused only if every message of an
// interval has waited for longer than the limit. The interval is as long as the limit:
// calls are refused once a queue has stood for twice the limit, but not because of a
// shorter pause of the process.
type load struct {
	limit   time.Duration // limit of the wait, and length of an interval, which needs two measurements
	probing atomic.Bool   // a goroutine is measuring

	mu    sync.Mutex // guards the fields below
	since time.Time  // every message since then has waited for too long; zero means no overload
	last  time.Time  // last measurement
	over  bool
}

const (
	probeEvery = 5 * time.Millisecond
	// loadMemory is the time for which a measurement counts: without messages there is no load.
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

// due reports whether it is time for another measurement.
func (l *load) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.last) >= probeEvery
}

// waited records how long a datagram that was read just now was in its socket. Its turn follows at once. If several
// datagrams wait, goroutines that wait for a processor run before the next datagram is read (Turns), so the time in
// the socket includes their work.
func (l *load) waited(read time.Time, d time.Duration) {
	if l.due(read) {
		l.note(read, d)
	}
}

// probe measures how long a message of a connection, which was read just now, will wait for the goroutine of its call.
// For that it starts a goroutine just before the call's goroutine is started or woken, from the same goroutine.
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
