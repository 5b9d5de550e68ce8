package peers

import "flowbridge/config"

// pool is a number of places that trunks share: for calls in set-up, or for calls with ports. Some
// places are reserved for each trunk, so that one trunk can't take all.
type pool struct {
	size  int
	used  int
	kept  int // reserved places that their trunks do not use at the moment
	users int // number of trunks that use any place
}

// share is what a trunk has of a pool.
type share struct {
	used     int
	reserved int
}

func (s *share) unused() int { return max(0, s.reserved-s.used) }

// hasRoom reports whether a trunk can have another place: one that is reserved for it, or one that
// is reserved for no trunk.
func (p *pool) hasRoom(s *share) bool { return p.used+p.kept-s.unused() < p.size }

// add takes n places for a trunk, or returns them if n is negative.
func (p *pool) add(s *share, n int) {
	if s.used > 0 {
		p.users--
	}
	p.kept -= s.unused()
	s.used += n
	p.used += n
	p.kept += s.unused()
	if s.used > 0 {
		p.users++
	}
}

// belowAverage reports whether a trunk uses fewer places than the trunks that use any do on
// average.
func (p *pool) belowAverage(s *share) bool { return s.used*p.users < p.used }

// reserve sets the number of places that are reserved for a trunk.
func (p *pool) reserve(s *share, n int) {
	p.kept -= s.unused()
	s.reserved = n
	p.kept += s.unused()
}

// share reserves set-ups and ports for each trunk of a snapshot, and none for other trunks. A trunk
// gets no more than its max_calls.
func (a *Admission) share(p *Snapshot) {
	for _, usages := range []map[string]*usage{a.trunks, a.callers} {
		for _, t := range usages {
			a.setups.reserve(&t.setups, 0)
			a.ports.reserve(&t.ports, 0)
		}
	}
	for _, t := range p.Trunks {
		most := capOf(t.Caller.MaxCalls)
		a.setups.reserve(&t.setups, min(config.FairShare(a.setups.size, len(p.Trunks)), most))
		a.ports.reserve(&t.ports, min(config.FairShare(a.ports.size, len(p.Trunks)), most))
	}
}

// Spared reports whether to accept a sender's calls although the process is overloaded, because its
// trunk has fewer calls in set-up than the other trunks on average, so it does not cause the load.
// This must be true for every trunk that the sender may belong to, because it is not known yet
// which one it is.
func (a *Admission) Spared(from Sender) bool {
	p := a.Peers.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	spared := false
	for _, t := range p.Trunks {
		if !t.couldBe(from) {
			continue
		}
		spared = a.setups.belowAverage(&t.setups)
		if !spared {
			break
		}
	}
	return spared
}

// Reserved returns how many set-ups and how many calls with ports are reserved for a trunk.
func (a *Admission) Reserved(t *Trunk) (setups, calls int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.setups.reserved, t.ports.reserved
}
