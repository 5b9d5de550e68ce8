package stage

import (
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/stream"
)

// Detect starts to detect who or what has answered a side. A second Detect restarts the detection. Another process does
// not continue it, and reports nothing.
type Detect answerer.Limits

// answer detects who or what has answered.
type answer struct {
	idle
	detector *answerer.Detector // nil once it has nothing more to report
}

func (c Detect) apply(w *way, now time.Duration) {
	if w.answer == nil {
		w.answer = &answer{}
		w.arrange()
	}
	w.answer.detector = answerer.New(answerer.Limits(c), now, func(a answerer.Answer) { w.session.Answered(w.side, a) },
		func(b answerer.Beep) { w.session.Beeped(w.side, b) })
}

func (a *answer) packet(p *Packet) Verdict {
	if a.detector != nil {
		a.detector.Packet(p.voice())
		a.rest()
	}
	return Relay
}

func (a *answer) due() time.Duration {
	if a.detector == nil {
		return stream.Never
	}
	return a.detector.Due()
}

func (a *answer) attend(now time.Duration) {
	a.detector.Look(now)
	a.rest()
}

func (a *answer) plain(time.Duration) bool { return a.detector == nil }

func (a *answer) rest() {
	if a.detector.Over() {
		a.detector = nil
	}
}
