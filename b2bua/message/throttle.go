package message

import (
	"sync"
	"time"
)

// Throttle slows down who guesses passwords. Failures count against whom the
// nonce was given to, not against the source of the datagram: that can be
// forged, and a trunk must not be locked out by strangers.
type Throttle struct {
	mu      sync.Mutex
	holders map[holder]failures
	max     int
}

// failures leak away, one in a minute.
type failures struct {
	n     int
	at    time.Time // of the last one
	until time.Time // not listened to before
}

// A holder may fail so often at once. Each failure more doubles how long it is
// not listened to.
const (
	FailuresFree  = 5
	failuresLeak  = time.Minute
	throttleMost  = 5 * time.Minute
	throttleSteps = 9 // the first of them a second: more are over throttleMost
	maxHolders    = 10_000
)

func NewThrottle() *Throttle { return &Throttle{holders: map[holder]failures{}, max: maxHolders} }

// Blocked says whether a holder has failed too often.
func (t *Throttle) Blocked(h holder, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Before(t.holders[h].until)
}

// Fail notes a wrong response.
func (t *Throttle) Fail(h holder, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, known := t.holders[h]
	if !known && len(t.holders) >= t.max {
		t.makeRoom(now)
	}
	if leaked := int(now.Sub(f.at) / failuresLeak); known && leaked > 0 {
		f.n = max(0, f.n-leaked)
	}
	f.n = min(f.n+1, FailuresFree+throttleSteps+1)
	f.at = now
	if over := f.n - FailuresFree; over > 0 {
		f.until = now.Add(min(throttleMost, time.Second<<(over-1)))
	}
	t.holders[h] = f
}

// makeRoom forgets who has not failed for long; where nobody has not, anybody.
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
