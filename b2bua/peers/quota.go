package peers

import (
	"time"

	"golang.org/x/time/rate"
)

// Share limits this node to its part of each limit from now on. nodes is the number of nodes, and place, from 0, is
// this node's position among them. Live calls continue even beyond the limit. Before the first Share, the node may use
// all of each limit. Share returns the smallest configured limit, or 0 if there is none.
func (a *Admission) Share(place, nodes int) (least int) {
	a.mu.Lock()
	defer a.unlock()
	now := time.Now()
	a.place, a.nodes = place, nodes
	defer a.serveAll(now)
	least = a.setRates(now)
	if least == capOf(0) {
		return 0
	}
	return least
}

// Part returns this node's part of a limit of calls. 0 means no limit.
func (a *Admission) Part(limit int) int {
	if limit <= 0 {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.part(limit)
}

// busyFor is how long a node counts as busy after its last call was counted.
const busyFor = 5 * time.Minute

// Busy reports whether there are calls, or there was a new one within busyFor. A process that has just started counts
// as busy, so that a restart does not move its parts to other nodes.
func (a *Admission) Busy() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.began
	for _, usages := range []map[string]*usage{a.trunks, a.targets, a.callers} {
		for _, t := range usages {
			if t.calls > 0 {
				return true
			}
			if t.taken.After(last) {
				last = t.taken
			}
		}
	}
	return time.Since(last) < busyFor
}

// part returns this node's part of a limit: an equal part, plus one of the remainder for the first nodes. So the parts
// of all nodes add up to the limit. But each node gets at least one, even if there are more nodes than the limit. The
// caller must hold a.mu.
func (a *Admission) part(limit int) int {
	if a.nodes == 0 || limit <= 0 {
		return capOf(limit)
	}
	part := limit / a.nodes
	if a.place < limit%a.nodes {
		part++
	}
	return max(1, part)
}

// setRates sets every rate limiter to this node's part, and returns the smallest configured limit. The caller must hold
// a.mu.
func (a *Admission) setRates(now time.Time) (least int) {
	least = capOf(0)
	for _, usages := range []map[string]*usage{a.trunks, a.targets, a.callers} {
		for _, t := range usages {
			least = min(least, capOf(t.most), capOf(t.cps))
			if t.rate == nil {
				continue
			}
			if n := a.part(t.cps); t.rate.Burst() != n { // the limiter keeps its tokens, up to the new burst
				t.rate.SetLimitAt(now, rate.Limit(n))
				t.rate.SetBurstAt(now, n)
			}
		}
	}
	return least
}

// hasRoom reports whether this node's parts of the limit and of the rate allow one more call. It counts nothing. The
// caller must hold a.mu.
func (a *Admission) hasRoom(t *usage, now time.Time) bool {
	return t.calls < a.part(t.most) && (t.rate == nil || t.rate.TokensAt(now) >= 1)
}
