package live

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/store/record"
)

// Observer is told every change of a call, each one time. It must not block, and must be safe for concurrent use.
type Observer interface {
	// Rang is called when the caller has received its first 18x or 200. seconds is the time since the INVITE.
	Rang(r record.Record, seconds float64)
	// Tried is called for a finished attempt of a call, answered or failed.
	Tried(r record.Record, a *record.Attempt)
	// Answered is called when a call was answered. It may later turn out that the caller never acknowledged the answer.
	Answered(r record.Record)
	// Ended is called for a finished call.
	Ended(r record.Record)
}

// Options are the options of a watcher. Each is required unless its comment says otherwise.
type Options struct {
	// Node returns the figures that only the node knows.
	Node func() Node
	// Media returns the quality so far of the calls that are up.
	Media func() []record.Media
	// Peers returns the targets, and the trunks that can be called, of the configuration in force.
	Peers func() []Peer
	// IsPeer reports whether a name is one of Peers.
	IsPeer func(name string) bool
	// Troubles returns what is not well, according to the figures and what only the node knows. It may be nil.
	Troubles func(*Stats, []Target) []Trouble
	// Observer may be nil.
	Observer Observer
}

// Watcher keeps the statistics of a node's calls. Its methods may be called from any goroutine.
type Watcher struct {
	options Options // constant

	mu    sync.Mutex // guards the fields below
	clock clock
	rate  rate
	calls map[string]*call // live calls, by id

	phases                           Phases
	postDial, prepare, setup, jitter series // milliseconds
	harm                             series // bestMOS minus the MOS of a call
	ended, lost, lostHere, received  tally
	answered, unanswered             tally // callers' calls, counted as soon as the result is known
	causes, rejected                 map[string]*tally
	sampled                          map[string]uint64 // rejected requests since the start, as last sampled
	targets                          map[string]*target
	suffering                        map[Suffering]*tally // by all but Calls

	saving sync.Mutex // held while the day is written; locked before telling

	telling sync.Mutex   // held while the answer of the history is built; locked before past
	noted   atomic.Int64 // events since the start
	past    sync.Mutex   // guards the fields below; locked before mu
	history history      // of an hour
	day     history
	events  []Event
	dirty   bool // the file lacks points of the day, or events
}

// New returns a watcher.
func New(o Options) *Watcher {
	now := time.Now()
	return &Watcher{
		options: o, clock: clock{began: now}, rate: rate{began: now}, calls: map[string]*call{},
		causes: map[string]*tally{}, rejected: map[string]*tally{}, targets: map[string]*target{},
		suffering: map[Suffering]*tally{},
		history:   history{every: historyStep}, day: history{every: dayStep},
	}
}

// call records which parts of a live call have been counted.
type call struct {
	at             Active
	attempts       int // number of attempts already counted
	rang, answered bool
	suffered       []Suffering
}

// Active holds the attributes by which live calls are counted.
type Active struct{ Trunk, Target, Phase string }

// These are the phases of a live call, as its record shows them.
const (
	phasePreparing = "preparing"
	phaseQueued    = "queued"
	phaseDialing   = "dialing"
	phaseBridged   = "bridged"
)

// PhaseOf returns the phase of a live call: preparing, queued, dialing or bridged.
func PhaseOf(r *record.Record) string {
	switch {
	case r.Waiting:
		return phaseQueued
	case r.IsPlaced() && !r.IsConnected(): // the customer may have answered
		return phaseDialing
	case !r.AnsweredAt.IsZero():
		return phaseBridged
	case !r.DialedAt.IsZero():
		return phaseDialing
	default:
		return phasePreparing
	}
}

// of returns the counter of a phase.
func (p *Phases) of(phase string) *int {
	switch phase {
	case phaseBridged:
		return &p.Bridged
	case phaseDialing:
		return &p.Dialing
	case phaseQueued:
		return &p.Queued
	default:
		return &p.Preparing
	}
}

// news holds what a record says about its call for the first time.
type news struct {
	rang, answered bool
	attempts       []record.Attempt
}

// Changed takes the record of a live call so far.
func (w *Watcher) Changed(r record.Record) {
	if n := w.changed(&r); n.rang || n.answered || len(n.attempts) > 0 {
		w.tell(r, n, false)
	}
}

// Ended takes the record of a finished call.
func (w *Watcher) Ended(r record.Record) { w.tell(r, w.over(&r), true) }

func (w *Watcher) changed(r *record.Record) news {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.advance()
	c := w.calls[r.ID]
	if c == nil {
		c = counted(r)
		w.calls[r.ID] = c
		if !c.rang && c.attempts == 0 {
			w.rate.add(now)
		}
	} else {
		*w.phases.of(c.at.Phase)--
	}
	c.at = Active{Trunk: r.Trunk, Target: r.Target, Phase: PhaseOf(r)}
	*w.phases.of(c.at.Phase)++
	return w.note(c, r)
}

// counted returns the entry for a call whose record was already counted by another process. For the first record of a
// call that started here, there was nothing to count yet.
func counted(r *record.Record) *call {
	answered := !r.AnsweredAt.IsZero()
	return &call{
		attempts: len(r.Attempts), rang: answered || !r.RingingAt.IsZero(), answered: answered,
		suffered: sufferingsOf(r),
	}
}

// over counts an ended call, which may never have been live here. A call that its own process could not end is not a
// failure of a target, so it counts in no ratio.
func (w *Watcher) over(r *record.Record) news {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.advance()
	c := w.calls[r.ID]
	interrupted := r.Disposition == record.DispositionInterrupted
	switch {
	case c != nil:
		*w.phases.of(c.at.Phase)--
		delete(w.calls, r.ID)
	case interrupted:
		c = counted(r)
	default:
		c = &call{}
		w.rate.add(now)
	}
	n := w.note(c, r)
	slot := w.clock.slot()
	w.ended.add(slot, 1)
	if !c.answered && !interrupted && !r.IsPlaced() {
		w.unanswered.add(slot, 1)
	}
	w.named(w.causes, r.Cause, 1)
	if t := w.target(r.Target); t != nil && c.answered {
		t.hangups.ended(slot, r)
	}
	w.hear(slot, &r.Media)
	w.converse(slot, r)
	return n
}

// hear counts the quality of a call. The quality may be final, or the quality so far.
func (w *Watcher) hear(slot int, m *record.Media) {
	for _, side := range []*record.MediaSide{&m.A, &m.B} {
		if side.Rx > 0 {
			w.lost.add(slot, count(side.Missed()))
			w.lostHere.add(slot, count(side.LostHere+side.LateHere))
			w.received.add(slot, count(side.Rx+side.Lost-side.Missed()))
			w.jitter.add(slot, side.JitterMS)
		}
	}
	if m.MOS > 0 {
		w.harm.add(slot, bestMOS-float64(m.MOS))
	}
}

// note counts what is new about a call.
func (w *Watcher) note(c *call, r *record.Record) (n news) {
	slot := w.clock.slot()
	w.suffers(c, r)
	is := counted(r)
	byCaller := !r.IsPlaced() // whether a customer answers does not depend on us or the agent
	if is.rang && !c.rang {
		c.rang, n.rang = true, byCaller
		if byCaller {
			w.postDial.add(slot, millis(postDialDelay(r)))
		}
	}
	if is.answered && !c.answered {
		c.answered, n.answered = true, byCaller
		if byCaller {
			w.answered.add(slot, 1)
			w.setup.add(slot, float64(r.SetupMS))
		}
	}
	if c.attempts < len(r.Attempts) {
		n.attempts = r.Attempts[c.attempts:]
		c.attempts = len(r.Attempts)
	}
	for i := range n.attempts {
		a := &n.attempts[i]
		if a.Prepared() {
			w.prepare.add(slot, float64(a.PrepareMS))
		}
		if t := w.target(a.Target); t != nil {
			t.note(slot, r, a)
		}
	}
	return n
}

func (w *Watcher) tell(r record.Record, n news, over bool) {
	o := w.options.Observer
	if o == nil {
		return
	}
	if n.rang {
		o.Rang(r, postDialDelay(&r).Seconds())
	}
	for i := range n.attempts {
		o.Tried(r, &n.attempts[i])
	}
	if n.answered {
		o.Answered(r)
	}
	if over {
		o.Ended(r)
	}
}

// postDialDelay returns the time from the INVITE to the first answer except 100.
func postDialDelay(r *record.Record) time.Duration {
	return max(0, cmp.Or(r.RingingAt, r.AnsweredAt).Sub(r.StartedAt.Time))
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }

// count returns a number of packets as unsigned, or 0 if it is negative.
func count(n int64) uint64 { return uint64(max(0, n)) }

// maxNames limits the reasons and causes that are counted separately. Both are closed sets, which are far smaller.
const maxNames = 256

// named adds n to the count with a name.
func (w *Watcher) named(all map[string]*tally, name string, n uint64) {
	t := all[name]
	if t == nil {
		if len(all) >= maxNames {
			return
		}
		t = &tally{}
		all[name] = t
	}
	t.add(w.clock.slot(), n)
}

// advance empties slots that have become too old, and returns the time.
func (w *Watcher) advance() time.Time {
	now := time.Now()
	w.clock.advance(now, w.empty)
	return now
}

func (w *Watcher) empty(slot int) {
	for _, s := range []*series{&w.postDial, &w.prepare, &w.setup, &w.jitter, &w.harm} {
		s.clear(slot)
	}
	for _, t := range []*tally{&w.ended, &w.answered, &w.unanswered, &w.lost, &w.lostHere, &w.received} {
		t.clear(slot)
	}
	for _, all := range []map[string]*tally{w.causes, w.rejected} {
		for _, t := range all {
			t.clear(slot)
		}
	}
	for _, t := range w.targets {
		t.clear(slot)
	}
	for of, t := range w.suffering {
		if t.clear(slot); t.sum == 0 {
			delete(w.suffering, of)
		}
	}
}

// Tend samples the figures that are counted elsewhere, and adds a point to the history every ten seconds. It must be
// called at least every five seconds, so that counts are not attributed to a later time.
func (w *Watcher) Tend() {
	n, up := w.options.Node(), w.options.Media()
	w.mu.Lock()
	w.advance()
	w.sample(n.Rejected)
	w.empty(liveSlot)
	for i := range up {
		w.hear(liveSlot, &up[i])
	}
	w.mu.Unlock()
	w.remember()
}

// Active counts the live calls.
func (w *Watcher) Active() map[Active]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[Active]int{}
	for _, c := range w.calls {
		all[c.at]++
	}
	return all
}
