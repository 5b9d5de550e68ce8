package media

import (
	"maps"
	"slices"
)

// Totals count the RTP of all sessions since the engine was opened. Counters never decrease.
type Totals struct {
	Sessions  int           // open sessions
	Offloaded int           // RTP flows of open sessions that the kernel carries, two per session
	Sides     [2]SideTotals // by Side
}

// SideTotals counts the packets that came from one side of all sessions, and the packets that were sent to it.
type SideTotals struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	Lost               uint64 // closed sessions only, because missing packets of open ones may still arrive
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

// Totals returns the current sums. It reads open sessions one by one while packets flow, which takes less than a
// microsecond each.
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

// Each yields the figures of each open session.
func (e *Engine) Each(yield func(Stats)) {
	e.readFigures()
	e.mu.Lock()
	open := slices.Collect(maps.Values(e.sessions))
	e.mu.Unlock()
	for _, s := range open {
		yield(s.relay.ledger.stats(e.epoch))
	}
}

// forget removes a session from the registry. Its figures still count until settle adds them.
func (e *Engine) forget(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, s.relay.id)
	e.ending[s.relay.id] = s
}

// settle adds a session's final figures to the sums of ended sessions.
func (e *Engine) settle(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.ending, s.relay.id)
	e.ended.add(&s.relay.ledger)
	for _, side := range []Side{SideA, SideB} {
		e.ended.Sides[side].Lost += read(&s.relay.ledger.flow[side][RTP].rtp).Lost.Load()
	}
}
