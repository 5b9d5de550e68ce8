package live

import (
	"math"
	"slices"
	"time"

	"flowbridge/store/record"
)

// There are two histories, of an hour and of a day. A point has Stats and Targets at the end of its step.
const (
	historyStep   = 10 * time.Second
	dayStep       = 24 * historyStep
	historyPoints = 360
	// historyTargets limits how many targets have a history: the first ones in the configuration.
	historyTargets = 256
)

// History is the last hour or day, as returned by GET /api/history. Every series has a point for each step, the oldest
// first. A point is null if there was no measurement. A point of a rate or of a percentile covers the window
// (Stats.WindowS) before it. Readers share a History, so it must not be changed.
type History struct {
	// Start is the time of the first point; it is null if there is none. StepS is the time from one point to the next, in
	// seconds.
	Start   record.Time     `json:"start"`
	StepS   int             `json:"step_s"`
	Figures Series          `json:"figures"`
	Targets []TargetHistory `json:"targets"`
	// Events are the changes of the node since 24 hours ago, at most 500, the oldest first.
	Events []Event `json:"events"`
}

// TargetHistory is the last hour of a target.
type TargetHistory struct {
	Name   string `json:"name"`
	Series Series `json:"series"`
}

// Series holds numbers over time, by the name of their field in Stats or Target.
type Series map[string][]*float64

// figure is a number that the history keeps. It is NaN if it was not measured.
type figure[T any] struct {
	name string
	of   func(*T) float64
}

// figuresOfNode and figuresOfTarget return the figures that the history keeps, in the order of a point.
func figuresOfNode() []figure[Stats] {
	return []figure[Stats]{
		{"calls", func(s *Stats) float64 { return float64(s.Calls) }},
		{"calls_per_second", func(s *Stats) float64 { return s.CallsPerSecond }},
		{"answer_ratio", func(s *Stats) float64 { return orNaN(s.AnswerRatio) }},
		{"post_dial_delay_ms", func(s *Stats) float64 { return s.PostDialDelay.p95() }},
		{"prepare_ms", func(s *Stats) float64 { return s.Prepare.p95() }},
		{"setup_ms", func(s *Stats) float64 { return s.Setup.p95() }},
		{"loss", func(s *Stats) float64 { return orNaN(s.Loss) }},
		{"jitter_ms", func(s *Stats) float64 { return s.Jitter.p95() }},
		{"mos", func(s *Stats) float64 {
			if s.MOS == nil {
				return math.NaN()
			}
			return s.MOS.P50
		}},
		{"ports", func(s *Stats) float64 { return float64(s.Ports.InUse) }},
		{"unwritten", func(s *Stats) float64 { return float64(s.Unwritten) }},
		{"rejected", func(s *Stats) float64 {
			sum := uint64(0)
			for _, n := range s.Rejected {
				sum += n
			}
			return float64(sum)
		}},
	}
}

func figuresOfTarget() []figure[Target] {
	return []figure[Target]{
		{"calls", func(t *Target) float64 { return float64(t.Calls) }},
		{"failed", func(t *Target) float64 { return float64(t.Failed) }},
		{"answer_ratio", func(t *Target) float64 { return orNaN(t.AnswerRatio) }},
		{"prepare_ms", func(t *Target) float64 { return t.Prepare.p95() }},
		{"answer_ms", func(t *Target) float64 { return t.Answer.p95() }},
		{"turns_ms", func(t *Target) float64 { return t.Turns.p95() }},
	}
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

func (p *Percentiles) p95() float64 {
	if p == nil {
		return math.NaN()
	}
	return p.P95
}

func (l *Latency) p95() float64 {
	if l == nil {
		return math.NaN()
	}
	return l.P95
}

// ring holds the points of one series by step. A missing point is NaN.
type ring [historyPoints]float32

// history keeps an hour or a day. Its memory is 1.4 KB for each series: 17 KB for the node, 9 KB for a target, at most
// 2.2 MB.
type history struct {
	every   time.Duration // length of a step; constant
	began   time.Time     // start of step 0, by the monotonic clock
	step    int           // step of the last point
	points  int           // number of steps, at most historyPoints
	at      record.Time
	node    []ring
	targets map[string][]ring
	order   []string // names of the targets, in the order of the configuration
	answer  *History // the answer for the points so far; nil until it is requested
}

// due reports whether a step has ended since the last point.
func (h *history) due(now time.Time) bool {
	return h.points == 0 || now.Sub(h.began)/h.every > time.Duration(h.step)
}

// add adds a point. Steps without a point, because the process stood still, stay empty.
func (h *history) add(now time.Time, s *Stats, targets []Target) {
	step := int(now.Sub(h.began) / h.every)
	if h.points == 0 {
		h.began, step = now, 0
		h.node = emptyRings(len(figuresOfNode()))
		h.step = -1
	}
	passed := min(step-h.step, historyPoints)
	if passed <= 0 {
		return
	}
	h.points = min(h.points+passed, historyPoints)
	was := h.step
	h.step, h.at = step, s.At
	h.answer = nil
	put(h.node, figuresOfNode(), was, step, s)
	targets = targets[:min(len(targets), historyTargets)]
	kept, order := make(map[string][]ring, len(targets)), make([]string, len(targets))
	for i := range targets {
		t := &targets[i]
		rings := h.targets[t.Name]
		if rings == nil {
			rings = emptyRings(len(figuresOfTarget()))
		}
		put(rings, figuresOfTarget(), was, step, t)
		kept[t.Name], order[i] = rings, t.Name
	}
	h.targets, h.order = kept, order // without targets that a reload has removed
}

func emptyRings(n int) []ring {
	all := make([]ring, n)
	for i := range all {
		for k := range all[i] {
			all[i][k] = float32(math.NaN())
		}
	}
	return all
}

// put writes the point of a step, and empties the steps between the last point and this one.
func put[T any](rings []ring, figures []figure[T], was, step int, of *T) {
	for i, f := range figures {
		for s := max(was+1, step-historyPoints+1); s < step; s++ {
			rings[i][s%historyPoints] = float32(math.NaN())
		}
		rings[i][step%historyPoints] = float32(f.of(of))
	}
}

// copied returns a copy of the history, which add does not change.
func (h *history) copied() history {
	c := *h
	c.node = slices.Clone(h.node)
	c.targets = make(map[string][]ring, len(h.targets))
	for name, rings := range h.targets {
		c.targets[name] = slices.Clone(rings)
	}
	return c
}

// told builds the answer.
func (h *history) told() *History {
	out := &History{StepS: int(h.every / time.Second), Figures: Series{}, Targets: []TargetHistory{}}
	if h.points == 0 {
		return out
	}
	out.Start = record.Time{Time: h.at.Add(-time.Duration(h.points-1) * h.every)}
	out.Figures = seriesOf(h, h.node, figuresOfNode())
	for _, name := range h.order {
		out.Targets = append(out.Targets, TargetHistory{name, seriesOf(h, h.targets[name], figuresOfTarget())})
	}
	return out
}

// seriesOf returns the points of rings, the oldest first.
func seriesOf[T any](h *history, rings []ring, figures []figure[T]) Series {
	all := Series{}
	for i, f := range figures {
		points, values := make([]*float64, h.points), make([]float64, h.points)
		for k := range points {
			if v := float64(rings[i][(h.step-h.points+1+k)%historyPoints]); !math.IsNaN(v) {
				values[k] = rounded(v, 4)
				points[k] = &values[k]
			}
		}
		all[f.name] = points
	}
	return all
}

// History returns the last hour or day. Its targets are those in the configuration at the last point, in the same
// order. It is built once for each point, at the first request. Further points can be added in the meantime.
func (w *Watcher) History(day bool) (out History) {
	of := &w.history
	if day {
		of = &w.day
	}
	w.telling.Lock()
	defer w.telling.Unlock()
	w.past.Lock()
	defer w.past.Unlock()
	if of.answer == nil {
		h := of.copied()
		w.past.Unlock()
		told := h.told()
		w.past.Lock()
		if out = *told; of.step == h.step && of.points == h.points {
			of.answer = told
		}
	} else {
		out = *of.answer
	}
	old := time.Now().Add(-historyPoints * dayStep)
	w.events = slices.DeleteFunc(w.events, func(e Event) bool { return e.At.Before(old) })
	out.Events = append([]Event{}, w.events...)
	return out
}

// remember adds a point to the history if it is due.
func (w *Watcher) remember() {
	now := time.Now()
	w.past.Lock()
	defer w.past.Unlock()
	if !w.history.due(now) && !w.day.due(now) {
		return
	}
	s, targets := w.figures(), w.Targets()
	for _, h := range []*history{&w.history, &w.day} {
		if h.due(now) {
			h.add(now, &s, targets)
			w.dirty = w.dirty || h == &w.day
		}
	}
}
