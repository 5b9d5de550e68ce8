package message

import (
	"sync"
	"time"
)

// Replays remembers which nonce counts (nc) came with which nonce, so that recorded credentials are
// useless (RFC 7616 section 5.5). It stores only the counts of right responses. Its memory is
// bounded: nonces that it has forgotten count as too old, and so do nonces that were made before
// it.
type Replays struct {
	mu            sync.Mutex
	recent, older map[nonceID]counted
	begun         time.Time // when the newer half, recent, was started
	since         time.Time // nonces made before this time are too old
	max           int       // maximum number of nonces in each half
}

// counted holds the highest nc that came with a nonce, and which of the 64 numbers before
// it came.
type counted struct {
	highest uint32
	seen    uint64 // bit n stands for highest-n
}

// maxNonces bounds the nonces in each half of the memory.
const maxNonces = 50_000

// NewReplays returns an empty memory. Nonces from before now count as too old.
func NewReplays(now time.Time) *Replays {
	return &Replays{recent: map[nonceID]counted{}, begun: now, since: now.Add(-time.Millisecond), max: maxNonces}
}

// Fresh reports whether a nonce is young enough to be used.
func (r *Replays) Fresh(n ReceivedNonce, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return n.made.After(r.since) && !n.made.After(now) && now.Sub(n.made) <= nonceTTL
}

// Use stores a nonce count (nc). It returns false if this nc came before or is too far below the
// highest one, or if the nonce is too old.
func (r *Replays) Use(n ReceivedNonce, nc uint32, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !n.made.After(r.since) || nc == 0 {
		return false
	}
	c, known := r.recent[n.id]
	if !known {
		c = r.older[n.id]
	}
	switch ahead := int64(nc) - int64(c.highest); {
	case ahead >= 64:
		c = counted{nc, 1}
	case ahead > 0:
		c = counted{nc, c.seen<<ahead | 1}
	case ahead > -64 && c.seen&(1<<-ahead) == 0:
		c.seen |= 1 << -ahead
	default:
		return false
	}
	if !known && (len(r.recent) >= r.max || now.Sub(r.begun) > nonceTTL) {
		r.turn(now)
	}
	if !n.made.After(r.since) {
		return false
	}
	r.recent[n.id] = c
	return true
}

// turn starts a new half and drops the older one. From then on, nonces that were made
// before the end of the dropped half are too old, because their counts may have been in
// it.
func (r *Replays) turn(now time.Time) {
	if r.older != nil {
		r.since = r.begun
	}
	r.older, r.recent = r.recent, map[nonceID]counted{}
	r.begun = now
}
