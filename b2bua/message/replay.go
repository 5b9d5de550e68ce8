package message

import (
	"sync"
	"time"
)

// Replays remembers which nonce counts (nc) came with which nonce, so that recorded
// credentials are of no use (RFC 7616 section 5.5). Its memory is bounded: nonces that
// it has forgotten count as too old, and so do nonces from before it was made. Only the
// counts of right responses are kept.
type Replays struct {
	mu            sync.Mutex
	recent, older map[nonceID]counted
	begun         time.Time // of recent
	since         time.Time // nonces made until then are too old
	max           int       // nonces in each of the two
}

// counted is the highest nc that came with a nonce, and which of the 64 before it.
type counted struct {
	highest uint32
	seen    uint64 // bit n: highest-n
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

// Use notes an nc of a nonce. False means it came before or is too far behind the highest
// one, or the nonce is too old by now.
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

// turn begins a new half and forgets the older one, whose nonces are all from before
// its end: nonces until then are too old from now on.
func (r *Replays) turn(now time.Time) {
	if r.older != nil {
		r.since = r.begun
	}
	r.older, r.recent = r.recent, map[nonceID]counted{}
	r.begun = now
}
