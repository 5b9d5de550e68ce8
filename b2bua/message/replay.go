package message

import (
	"sync"
	"time"
)

// Replays remembers which nonce counts (nc) were used with which nonce, so
// that what somebody recorded is of no use to him (RFC 7616 section 5.5). Its
// memory is bounded: what it has forgotten, and what was made before it began,
// counts as too old. Only a right response gets here.
type Replays struct {
	mu            sync.Mutex
	recent, older map[[nonceTimeLen + nonceSaltLen]byte]counted
	begun         time.Time // of recent
	since         time.Time // nonces made until then are too old
	max           int       // nonces in each of the two
}

// counted is the highest nc that came with a nonce, and which of the 64
// before it came.
type counted struct {
	highest uint32
	seen    uint64 // bit n: highest-n
}

// maxNonces bounds the nonces in use that are remembered, times two.
const maxNonces = 50_000

func NewReplays(now time.Time) *Replays {
	return &Replays{
		recent: map[[nonceTimeLen + nonceSaltLen]byte]counted{}, begun: now,
		since: now.Add(-time.Millisecond), max: maxNonces,
	}
}

// Fresh says whether a nonce may be used at all.
func (r *Replays) Fresh(d nonceData, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return d.made.After(r.since) && !d.made.After(now) && now.Sub(d.made) <= NonceTTL
}

// Use notes an nc of a nonce. False: it was used before, is too far behind the
// highest one, or the nonce is too old by now.
func (r *Replays) Use(d nonceData, nc uint32, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !d.made.After(r.since) || nc == 0 {
		return false
	}
	c, known := r.recent[d.id]
	if !known {
		c = r.older[d.id]
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
	if !known && (len(r.recent) >= r.max || now.Sub(r.begun) > NonceTTL) {
		r.turn(now)
	}
	if !d.made.After(r.since) {
		return false
	}
	r.recent[d.id] = c
	return true
}

// turn begins a new half. What was in the older one was made before that ended,
// so everything made until then is too old from now on.
func (r *Replays) turn(now time.Time) {
	if r.older != nil {
		r.since = r.begun
	}
	r.older, r.recent = r.recent, map[[nonceTimeLen + nonceSaltLen]byte]counted{}
	r.begun = now
}
