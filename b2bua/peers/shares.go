package peers

import "flowbridge/config"

// pool is a number of places that trunks share: for calls in set-up, or for calls with
// ports. A part of it is reserved for each trunk, so that one trunk can't take all
// places.
type pool struct {
	size  int
	used  int
	kept  int // reserved places that their trunks do not use yet
	users int // number of trunks that use a place
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

// reserve changes the number of places that are reserved for a trunk.
func (p *pool) reserve(s *share, n int) {
	p.kept -= s.unused()
	s.reserved = n
	p.kept += s.unused()
}

// share reserves a part of set-ups and ports for every trunk of a snapshot, and none for
// a trunk that is gone. A trunk with a cap gets no more than its cap.
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

// Spared reports whether to accept a sender's calls although the process is overloaded,
// because its trunk has fewer calls in set-up than the others on average, so the load is
// theirs. That must be so for every trunk that the sender may be, because it is not known
// yet which one it is.
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

// Reserved returns the numbers of set-ups and calls that are reserved for a trunk.
func (a *Admission) Reserved(t *Trunk) (setups, calls int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.setups.reserved, t.ports.reserved
}
