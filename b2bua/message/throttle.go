package message

import (
	"sync"
	"time"
)

// Throttle slows down password guessing. Failures count against the holder of the nonce, and not
// against the source of the datagram: a source can be forged, and strangers must not be able to
// lock out a trunk.
type Throttle struct {
	mu      sync.Mutex
	holders map[holder]failures
	max     int
}

// failures counts the failures of one holder. The count decreases by one each minute.
type failures struct {
	n     int
	at    time.Time // time of the last failure
	until time.Time // the holder is blocked until this time
}

const (
	// failuresFree is how many failures in a row do not block a holder. Each further failure doubles
	// the time for which the holder is blocked.
	failuresFree  = 5
	failuresLeak  = time.Minute
	throttleMost  = 5 * time.Minute
	throttleSteps = 9 // the first is a second; more would exceed throttleMost
	maxHolders    = 10_000
)

// NewThrottle returns a throttle that blocks nothing yet.
func NewThrottle() *Throttle { return &Throttle{holders: map[holder]failures{}, max: maxHolders} }

// Blocked reports whether the nonce's holder has failed too often.
func (t *Throttle) Blocked(n ReceivedNonce, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Before(t.holders[n.holder].until)
}

// Fail records a wrong response to the nonce.
func (t *Throttle) Fail(n ReceivedNonce, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, known := t.holders[n.holder]
	if !known && len(t.holders) >= t.max {
		t.makeRoom(now)
	}
	if leaked := int(now.Sub(f.at) / failuresLeak); known && leaked > 0 {
		f.n = max(0, f.n-leaked)
	}
	f.n = min(f.n+1, failuresFree+throttleSteps+1)
	f.at = now
	if over := f.n - failuresFree; over > 0 {
		f.until = now.Add(min(throttleMost, time.Second<<(over-1)))
	}
	t.holders[n.holder] = f
}

// makeRoom forgets the holders whose last failure was long ago, or any holder if there
// are none.
func (t *Throttle) makeRoom(now time.Time) {
	for h, f := range t.holders {
		if now.Sub(f.at) > failuresLeak && !now.Before(f.until) {
			delete(t.holders, h)
		}
	}
	for h := range t.holders {
		if len(t.holders) < t.max {
			return
		}
		delete(t.holders, h)
	}
}
