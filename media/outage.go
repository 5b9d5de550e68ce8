package media

import "time"

// If most sessions fall silent at the same moment, our own network has failed. The calls are not over: both parties
// wait for the network. Their time-out starts when it is back. While Doubt is set, all calls wait. Tests: TestOutage,
// TestNoOutage, TestFellSilent, TestDoubt.
// TestNoOutage, TestFellSilent, TestDoubt.
const (
	outageWithin = time.Second     // longest time between the last packets of two sessions in one outage
	outageLeast  = 5               // sessions; fewer fall silent together by chance
	outageMost   = 5 * time.Minute // after this the calls end anyway
	outageTries  = 8               // sessions per tick that are tested as the first of an outage
)

// Outage is reported when most sessions fall silent at once, and again when the outage is over.
type Outage struct {
	Sessions int           // number of sessions that fell silent
	Since    time.Duration // how long ago
	Over     bool          // most of the sessions are heard again or have ended
}

// outage is the outage of one worker's sessions. The zero value is no outage.
type outage struct {
	on   bool
	at   time.Duration // when the last packet before the outage came
	n    int           // sessions that fell silent
	back time.Duration // when most of them were heard again; 0 if they are still silent
}

// excuses reports whether a session that has reached its silence limit need not end yet.
func (o *outage) excuses(h *hearing, now, limit time.Duration) bool {
	if !o.on || !h.fellSilent(o.at) || now-o.at >= outageMost {
		return false
	}
	return o.back == 0 || now-o.back < limit
}

// FellSilent reports whether most sessions fell silent at once and are still silent. With several workers, this must
// hold for most of the workers that have sessions. It reports false until the sessions have been silent for
// Config.Timeout.
func (e *Engine) FellSilent() bool {
	silent, all := 0, 0
	for _, w := range e.workers {
		if w.rests.Load() {
			continue
		}
		all++
		if w.fell.Load() {
			silent++
		}
	}
	return 2*silent > all
}

// Doubt says whether this machine may be cut off from the network. While it may be, and for Config.Timeout after that,
// EventSilent is delayed for every session that has been heard, at most until five minutes after the session's last
// packet.
func (e *Engine) Doubt(doubt bool) {
	for _, w := range e.workers {
		w.doubt.Store(doubt)
	}
}

// doubts reports whether a session that has reached its silence limit need not end yet because the network may be gone.
func (w *worker) doubts(h *hearing) bool {
	return h.spoke != [2]bool{} && w.doubted > 0 && w.now-w.doubted < w.silence.mid && w.now-h.last < outageMost
}

// isCutOff reports whether our own network has failed, or may have.
func (w *worker) isCutOff() bool {
	return w.outage.on && w.outage.back == 0 || w.doubted > 0 && w.now-w.doubted < w.silence.mid
}

// fellSilent reports whether the last packet of a session came within a second of at.
func (h *hearing) fellSilent(at time.Duration) bool {
	return h.spoke != [2]bool{} && (h.last-at).Abs() <= outageWithin
}

// judgeSilence posts EventSilent for the sessions that have reached their silence limit and are not in an outage.
func (w *worker) judgeSilence() {
	o := &w.outage
	if o.on {
		w.lookForReturn()
	}
	if !o.on || o.back > 0 {
		w.lookForOutage()
	}
	w.fell.Store(o.on && o.back == 0)
	if w.doubt.Load() {
		w.doubted = w.now
	}
	for _, r := range w.silent {
		if r.enter() {
			if h := &r.hearing; !o.excuses(h, w.now, w.silence.mid) && !w.doubts(h) {
				r.fallSilent(w.now)
			}
			r.leave()
		}
	}
	clear(w.silent)
	w.silent = w.silent[:0]
}

// lookForOutage checks whether most sessions fell silent together with a session that has reached its silence limit.
func (w *worker) lookForOutage() {
	for _, r := range w.silent[:min(len(w.silent), outageTries)] {
		at := r.hearing.last // only this goroutine changes it in a silent session
		if alike, all := w.alike(at); alike >= outageLeast && 2*alike > all {
			w.outage = outage{on: true, at: at, n: alike}
			w.tellOutage(Outage{Sessions: alike, Since: w.now - at})
			return
		}
	}
}

// lookForReturn checks whether the outage is over.
func (w *worker) lookForReturn() {
	o := &w.outage
	still, _ := w.alike(o.at)
	if o.back == 0 && 2*still < o.n {
		o.back = w.now
		w.tellOutage(Outage{Sessions: o.n, Since: w.now - o.at, Over: true})
	}
	if still == 0 {
		*o = outage{}
	}
}

func (w *worker) tellOutage(o Outage) {
	if w.silence.onOutage != nil {
		w.silence.onOutage(o)
	}
}

// alike counts the sessions that fell silent within a second of at, and all sessions that have been heard and may
// speak.
func (w *worker) alike(at time.Duration) (alike, all int) {
	for _, r := range w.relays {
		if !r.enter() {
			continue
		}
		if h := &r.hearing; h.started && !h.silent && h.spoke != [2]bool{} && !r.held() {
			all++
			if h.fellSilent(at) {
				alike++
			}
		}
		r.leave()
	}
	return alike, all
}
