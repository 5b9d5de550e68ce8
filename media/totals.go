package media

import (
	"maps"
	"slices"
)

// Totals count the RTP of all sessions since the engine was opened. They never go down.
type Totals struct {
	Sessions  int           // open now
	Offloaded int           // their flows of RTP that the kernel carries, of two for each
	Sides     [2]SideTotals // by Side
}

// SideTotals are what came from all sides of a kind, and what was sent to them.
type SideTotals struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	Lost               uint64 // of sessions that are closed: what is missing may still come
	Dropped            Drops
}

// add adds the figures of a session.
func (t *Totals) add(l *ledger) {
	for _, side := range []Side{SideA, SideB} {
		to, in, out := &t.Sides[side], &l.flow[side][RTP], &l.flow[side.Other()][RTP]
		to.RxPackets += in.RxPackets.Load()
		to.RxBytes += in.RxBytes.Load()
		to.TxPackets += out.TxPackets.Load()
		to.TxBytes += out.TxBytes.Load()
		d, _ := l.dropped(side)
		sums := to.Dropped.all()
		for i, n := range d.all() {
			*sums[i] += *n
		}
	}
}

// Totals returns the sums of now. Live sessions are read one by one while packets flow: it takes less than a
// microsecond for each.
func (e *Engine) Totals() Totals {
	e.readFigures()
	e.mu.Lock()
	t := e.ended
	open := slices.AppendSeq(slices.Collect(maps.Values(e.sessions)), maps.Values(e.ending))
	t.Sessions = len(open)
	e.mu.Unlock()
	for _, s := range open {
		t.Offloaded += int(s.relay.offloaded.Load())
		t.add(&s.relay.ledger)
	}
	return t
}

// Each gives the figures of each open session.
func (e *Engine) Each(yield func(Stats)) {
	e.readFigures()
	e.mu.Lock()
	open := slices.Collect(maps.Values(e.sessions))
	e.mu.Unlock()
	for _, s := range open {
		yield(s.relay.ledger.stats(e.epoch))
	}
}

// forget removes a session from the registry. Its figures still count: settle follows.
func (e *Engine) forget(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, s.relay.id)
	e.ending[s.relay.id] = s
}

// settle adds the final figures of a session to those of the ended ones.
func (e *Engine) settle(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.ending, s.relay.id)
	e.ended.add(&s.relay.ledger)
	for _, side := range []Side{SideA, SideB} {
		e.ended.Sides[side].Lost += read(&s.relay.ledger.flow[side][RTP].rtp).Lost.Load()
	}
}
