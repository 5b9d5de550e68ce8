package circuit

import (
	"sync"
	"time"
)

// Settings are the settings of a circuit breaker.
type Settings struct {
	// Failures is the number of failures in a row after which it opens. 0 means that it never opens.
	Failures int
	// Pause is how long an open breaker refuses all attempts at first, and MaxPause how long at most.
	Pause, MaxPause time.Duration
	// Probed means that probes, and not calls, find out whether an open breaker may close.
	Probed bool
}

// State is the state of a circuit breaker.
type State int

// The states, in the order of flowbridge_circuit_state.
const (
	Closed   State = iota // attempts are permitted
	HalfOpen              // one attempt is in progress, and others are refused
	Open                  // all attempts are refused
)

// String returns the state in the API's spelling.
func (s State) String() string {
	switch s {
	case HalfOpen:
		return "half_open"
	case Open:
		return "open"
	case Closed:
	}
	return "closed"
}

// Outcome is what an attempt tells about its destination.
type Outcome int

// The outcomes.
const (
	Neutral   Outcome = iota // nothing: the caller gave up, or we failed
	Succeeded                // the destination works, whatever it answered
	Failed                   // the destination answered that it does not work, or could not be reached
	Silent                   // the destination did not answer in time
)

// silencePause is the time between two calls that try a destination whose calls were silent. It is longer than the
// pauses after failures, because such a try is a conversation.
const silencePause = time.Minute

// row is the least duration of a row of failures that opens a breaker. goodProbes is how many good probes in a row
// close it.
const (
	minFailureSpan = time.Second
	goodProbes     = 2
)

// Try is an attempt that the breaker permitted. The zero value means none.
type Try struct {
	began      time.Time
	generation uint32
}

// Change is a change of a breaker's state.
type Change struct {
	Name     string
	State    State
	Why      string        // for Open and Closed: what Silence said; empty if it is about failures
	Pause    time.Duration // for Open: time until the next attempt or probe
	Reopened bool          // for Open: an attempt or probe after a pause has failed
	For      time.Duration // for Closed: how long the breaker was not closed
}

// Status is the status of a circuit breaker.
type Status struct {
	State   State
	Since   time.Time // when the breaker was last closed, or stopped being closed; zero means at the start
	RetryAt time.Time // for Open: when the next attempt or probe is permitted
	Opened  uint64    // number of times that it opened since the start
	Refused uint64    // number of attempts refused since the start
	Probe   string    // what went wrong with the latest probe; empty if it was answered, or there was none
	Silent  string    // why the breaker is open although attempts succeed: what Silence said. Empty: it is not
}

// Breaker is one circuit breaker. Its methods may be called from any goroutine. A nil Breaker never opens.
type Breaker struct {
	name    string       // constant; so is changed
	changed func(Change) // called without the lock; must not block

	mu         sync.Mutex // guards the fields below
	set        Settings
	state      State
	openedAt   time.Time // when it stopped being closed
	closedAt   time.Time // when it was last closed
	pause      time.Duration
	retryAt    time.Time
	generation uint32    // generation of the attempts that count; each change of the state starts a new one
	waiting    int       // attempts of this generation that are in progress
	failures   int       // failures in a row
	began      time.Time // when this row started
	lastGood   time.Time // start of the latest attempt that got an answer
	good, bad  int       // good and bad probes in a row
	probe      string    // Status.Probe
	opened     uint64
	refused    uint64

	silent   string // Status.Silent
	silentAt time.Time
	hearAt   time.Time // when the next call may try a silent destination
}

// New returns a closed breaker. changed is called with each change of the state; it may be nil.
func New(name string, s Settings, changed func(Change)) *Breaker {
	return &Breaker{name: name, set: s, changed: changed, generation: 1}
}

// Configure replaces the settings. If the breaker must no longer open, it is closed.
func (b *Breaker) Configure(now time.Time, s Settings) {
	b.mu.Lock()
	if b.set = s; !s.Probed {
		b.probe = ""
	}
	var change *Change
	if s.Failures == 0 {
		if b.silent = ""; b.state != Closed {
			change = b.close(now)
		}
	}
	b.mu.Unlock()
	b.notify(change)
}

// Begin reports whether an attempt is permitted. The attempt's end must be reported with End.
func (b *Breaker) Begin(now time.Time) (Try, bool) {
	if b == nil {
		return Try{}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.set.Failures == 0:
		return Try{}, true
	case b.state == Closed:
	case b.state == Open && !b.set.Probed && !now.Before(b.retryAt):
		b.enter(HalfOpen)
	case b.state == HalfOpen && !b.set.Probed && b.waiting == 0: // the previous attempt gave no information
	default:
		b.refused++
		return Try{}, false
	}
	b.waiting++
	return Try{began: now, generation: b.generation}, true
}

// End reports the outcome of an attempt, and clears t, so that a second End has no effect. An attempt that started
// before the last change of the state no longer counts.
func (b *Breaker) End(now time.Time, t *Try, o Outcome) {
	try := *t
	*t = Try{}
	if b == nil || try.generation == 0 {
		return
	}
	b.mu.Lock()
	var change *Change
	if try.generation == b.generation {
		b.waiting--
		change = b.record(now, try, o)
	}
	b.mu.Unlock()
	b.notify(change)
}

// record counts the end of an attempt.
func (b *Breaker) record(now time.Time, try Try, o Outcome) *Change {
	switch o {
	case Neutral:
		return nil
	case Succeeded:
		b.answered(try)
		b.failures, b.began = 0, time.Time{}
		if b.state == HalfOpen {
			return b.close(now)
		}
		return nil
	case Failed, Silent:
	}
	count, began := b.failures+1, try.began
	switch {
	case b.lastGood.After(try.began): // one failure among successes: ignore waiting attempts, and start a new row
		began = now
	case o == Silent:
		count += b.waiting
	}
	if b.failures++; b.began.IsZero() || began.Before(b.began) {
		b.began = began
	}
	if b.state == HalfOpen || (count >= b.set.Failures && now.Sub(b.began) >= minFailureSpan) {
		return b.open(now)
	}
	return nil
}

// Provisional reports that an attempt got a provisional response. This closes a half-open breaker. A closed breaker
// still waits for the attempt's end, because a proxy may send 100 and refuse a moment later.
func (b *Breaker) Provisional(now time.Time, try Try) {
	if b == nil {
		return
	}
	b.mu.Lock()
	var change *Change
	if try.generation == b.generation {
		if b.answered(try); b.state == HalfOpen {
			change = b.close(now)
		}
	}
	b.mu.Unlock()
	b.notify(change)
}

// answered records that an attempt was answered.
func (b *Breaker) answered(try Try) {
	if try.began.After(b.lastGood) {
		b.lastGood = try.began
	}
}

// Probe reports the result of a probe. wrong says what went wrong, or is "" if the probe was answered.
func (b *Breaker) Probe(now time.Time, wrong string) {
	b.mu.Lock()
	var change *Change
	if b.probe = wrong; wrong == "" {
		b.good, b.bad = b.good+1, 0
		if b.state != Closed && b.good >= goodProbes && !now.Before(b.retryAt) {
			change = b.close(now)
		}
	} else {
		b.good, b.bad = 0, b.bad+1
		switch {
		case b.set.Failures == 0:
		case b.state != Closed && !now.Before(b.retryAt), b.state == Closed && b.bad >= b.set.Failures:
			change = b.open(now)
		}
	}
	b.mu.Unlock()
	b.notify(change)
}

// Silence opens the breaker for calls that have another destination (Skip), because calls here were answered and then
// silent. why says so. Only Words closes it again.
func (b *Breaker) Silence(now time.Time, why string) {
	b.mu.Lock()
	var change *Change
	if b.set.Failures > 0 && b.silent == "" {
		b.silent, b.silentAt, b.hearAt = why, now, now.Add(silencePause)
		b.opened++
		change = &Change{Name: b.name, State: Open, Why: why, Pause: silencePause}
	}
	b.mu.Unlock()
	b.notify(change)
}

// Words reports that a call that began at a time has heard words from the destination. It closes the breaker if the
// call began after Silence.
func (b *Breaker) Words(now, began time.Time) {
	b.mu.Lock()
	var change *Change
	if b.silent != "" && began.After(b.silentAt) {
		change = &Change{Name: b.name, State: Closed, Why: b.silent, For: now.Sub(b.silentAt)}
		b.silent = ""
	}
	b.mu.Unlock()
	b.notify(change)
}

// Skip reports whether a call that another destination can take should go there, because calls here are silent. After
// each pause one call is to try.
func (b *Breaker) Skip(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.silent == "" {
		return false
	} else if now.Before(b.hearAt) {
		b.refused++
		return true
	}
	b.hearAt = now.Add(silencePause)
	return false
}

// Status returns the circuit's status.
func (b *Breaker) Status() Status {
	if b == nil {
		return Status{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{State: b.state, Since: b.closedAt, Opened: b.opened, Refused: b.refused, Probe: b.probe}
	if b.state != Closed {
		s.Since = b.openedAt
	}
	if b.state == Open {
		s.RetryAt = b.retryAt
	} else if s.Silent = b.silent; s.Silent != "" && b.state == Closed {
		s.State, s.Since, s.RetryAt = Open, b.silentAt, b.hearAt
	}
	return s
}

// open opens the breaker for a pause. If the last pause was recent, the new one is twice as long.
func (b *Breaker) open(now time.Time) *Change {
	reopened := b.state != Closed
	switch {
	case reopened, !b.closedAt.IsZero() && now.Sub(b.closedAt) < b.set.MaxPause:
		b.pause = min(2*b.pause, b.set.MaxPause)
	default:
		b.pause = min(b.set.Pause, b.set.MaxPause)
	}
	if !reopened {
		b.openedAt = now
		b.opened++
	}
	b.retryAt = now.Add(b.pause)
	b.enter(Open)
	return &Change{Name: b.name, State: Open, Pause: b.pause, Reopened: reopened}
}

func (b *Breaker) close(now time.Time) *Change {
	b.closedAt = now
	b.enter(Closed)
	return &Change{Name: b.name, State: Closed, For: now.Sub(b.openedAt)}
}

// enter changes the state and starts a new generation.
func (b *Breaker) enter(s State) {
	b.state = s
	b.generation = max(1, b.generation+1) // 0 means no attempt
	b.waiting, b.failures, b.began, b.good, b.bad = 0, 0, time.Time{}, 0, 0
}

func (b *Breaker) notify(c *Change) {
	if c != nil && b.changed != nil {
		b.changed(*c)
	}
}
