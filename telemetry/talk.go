package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"flowbridge/store/record"
)

// talk holds the metrics of the conversations at each target.
type talk struct {
	calls, ignored                  *prometheus.CounterVec
	turn, first, bargeIn, agentDead *prometheus.HistogramVec
}

// newTalk creates the metrics. Conversations whose measurement may be wrong count only in calls.
func (m *Metrics) newTalk() talk {
	seconds := []float64{.2, .4, .6, .8, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 20, 60}
	return talk{
		calls: m.counter("talk_calls_total",
			"Answered calls by how far the figures of their conversation can be believed: good, noisy or not_measured.",
			"target", "confidence"),
		turn: m.histogram("talk_turn_seconds",
			"How long callers waited for an agent's answers: from the end of what they said to the agent's voice.",
			seconds, "target"),
		first: m.histogram("talk_first_audio_seconds", "From the answer of a call to the agent's voice.", seconds,
			"target"),
		bargeIn: m.histogram("talk_barge_in_seconds",
			"How long agents went on when they were interrupted, where they stopped within 3 s.",
			[]float64{.1, .2, .3, .4, .5, .6, .8, 1, 1.5, 2, 3}, "target"),
		ignored: m.counter("talk_barge_ins_ignored_total", "Interruptions that did not stop an agent within 3 s.",
			"target"),
		agentDead: m.histogram("talk_dead_air_seconds",
			"For how long a call's agent was waited for, in silences of 3 s and more together.",
			[]float64{3, 4, 5, 7.5, 10, 15, 20, 30, 60, 120}, "target"),
	}
}

// expect creates the series of a target, for Metrics.Expect.
func (m *talk) expect(target string) {
	m.ignored.WithLabelValues(target)
	m.calls.WithLabelValues(target, record.TalkGood)
	for _, h := range []*prometheus.HistogramVec{m.turn, m.first, m.bargeIn, m.agentDead} {
		h.WithLabelValues(target)
	}
}

// ended counts the conversation of a finished call.
func (m *talk) ended(target string, t *record.Talk) {
	if t == nil {
		return
	}
	m.calls.WithLabelValues(target, t.Confidence).Inc()
	if t.Confidence != record.TalkGood {
		return
	}
	observe := func(h *prometheus.HistogramVec, d *record.Durations) {
		if d == nil {
			return
		}
		for _, ms := range d.Values {
			h.WithLabelValues(target).Observe(float64(ms) / 1000)
		}
	}
	observe(m.turn, t.Turns)
	observe(m.bargeIn, t.BargeIns)
	m.ignored.WithLabelValues(target).Add(float64(*t.Ignored))
	m.agentDead.WithLabelValues(target).Observe(float64(*t.AgentDeadAirMS) / 1000)
	if t.FirstAgentMS != nil {
		m.first.WithLabelValues(target).Observe(float64(*t.FirstAgentMS) / 1000)
	}
}
