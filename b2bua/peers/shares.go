package peers

import "flowbridge/config"

// pool is a number of places that several trunks use: calls in set-up, or calls with
// ports. A part of it is kept for each trunk, so that one trunk can't take it all.
type pool struct {
	size  int
	used  int
	kept  int // for trunks that do not use their shares yet
	users int // trunks that use a place
}

// share is a trunk's part of a pool.
type share struct {
	used     int
	reserved int
}

func (s *share) unused() int { return max(0, s.reserved-s.used) }

// hasRoom reports whether a trunk can have another place: one of its own share, or one
// that is reserved for no trunk.
func (p *pool) hasRoom(s *share) bool { return p.used+p.kept-s.unused() < p.size }

// add takes n places, or gives them back.
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

// belowAverage reports whether a trunk uses less than the average of the trunks that use any.
func (p *pool) belowAverage(s *share) bool { return s.used*p.users < p.used }

// reserve changes the places that are kept for a trunk.
func (p *pool) reserve(s *share, n int) {
	p.kept -= s.unused()
	s.reserved = n
	p.kept += s.unused()
}

// share gives every trunk of a snapshot its part of set-ups and ports, and a trunk that is
// gone none. A trunk with a cap needs no more than that.
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

// Spared reports whether a sender gets calls although the process is overloaded: its trunk
// has fewer in set-up than the others on average, so the load is theirs. That goes for
// every trunk that it may be, because nothing else is known of it yet.
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

// Reserved are the set-ups and the calls that are kept for a trunk.
func (a *Admission) Reserved(t *Trunk) (setups, calls int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.setups.reserved, t.ports.reserved
}
