package telemetry

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// Options are the parts of Metrics. Each is required.
type Options struct {
	Version, Revision string
	// IsName reports whether a trunk or target of the configuration has this name.
	IsName func(name string) bool
	// Gauges returns the figures that are counted elsewhere.
	Gauges func() Gauges
}

// Metrics holds the metrics of a node. Any number of goroutines may use it.
type Metrics struct {
	options  Options
	registry *prometheus.Registry

	calls, attempts, prepares, rescues, oneWay, silent, lost, told *prometheus.CounterVec
	duration, postDial, setup, stage, prepare, wait                *prometheus.HistogramVec
	jitter, mos                                                    *prometheus.HistogramVec
	talk                                                           talk
	writeErrors                                                    prometheus.Counter
}

// other is the label for a name that the configuration does not have.
const other = "other"

// New returns the metrics of a node.
func New(o Options) *Metrics {
	m := &Metrics{options: o, registry: prometheus.NewRegistry()}
	m.calls = m.counter("calls_total", "Calls that ended, by how and why (docs/causes.md), and whether a request placed them.",
		"trunk", "target", "disposition", "cause", "placed")
	m.attempts = m.counter("attempts_total",
		"Attempts at targets that are over. The cause is answered, or why the attempt failed.", "target", "cause")
	m.rescues = m.counter("rescues_total",
		"Attempts to have a target take over from an agent whose leg has died. The cause is answered, or why the attempt failed.", "target", "cause")
	m.prepares = m.counter("prepare_requests_total",
		"Requests to platforms' APIs for a call id, retries included in one. The outcome is ok, or the cause.",
		"target", "outcome")
	m.oneWay = m.counter("one_way_audio_total",
		"Calls of which a side was not heard at the start: a is the caller's.", "side")
	m.silent = m.counter("silent_audio_total",
		"Calls in which a side, not on hold, sent no RTP for over 5 s: a is the caller's.", "side")
	m.lost = m.counter("rtp_lost_packets_total", "RTP packets from a leg that could not be heard, of calls that ended: lost, late, or cut off by the transcoder.", "leg")
	m.told = m.counter("calls_told_total",
		"Calls whose caller was to be told something before the agent: whole, cut (a part was sent) or failed (no packet was).",
		"route", "result")
	seconds := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 20, 40, 60, 120}
	m.duration = m.histogram("call_duration_seconds", "How long answered calls lasted from their 200.",
		[]float64{1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400}, "trunk")
	m.postDial = m.histogram("post_dial_delay_seconds",
		"From the INVITE to the first 18x or 200 that the caller got (RFC 6076 section 4.3).", seconds, "trunk")
	m.setup = m.histogram("call_setup_seconds", "From the INVITE to the 200, of answered calls.", seconds, "trunk")
	m.stage = m.histogram("setup_stage_seconds",
		"The parts of the set-up of answered calls: route is from the INVITE to that to the target, answer from there to its 200.", seconds, "stage")
	m.prepare = m.histogram("prepare_seconds", "How long platforms' APIs took to answer, retries included.",
		seconds, "target")
	m.wait = m.histogram("queue_wait_seconds",
		"How long callers that had to wait for a place at a target waited, until they got it or left.",
		[]float64{1, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1800}, "route")
	m.jitter = m.histogram("rtp_jitter_seconds", "The jitter of a leg's RTP at the end of its call (RFC 3550).",
		[]float64{.001, .002, .005, .01, .02, .03, .05, .1, .2}, "leg")
	m.mos = m.histogram("call_mos", "The quality of calls at their end, of the worse side, 1 to 4.5 (ITU-T G.107).",
		[]float64{1.5, 2, 2.5, 3, 3.25, 3.5, 3.75, 4, 4.1, 4.2, 4.3, 4.4})
	m.talk = m.newTalk()
	m.writeErrors = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "cdr_write_errors_total",
		Help: "Records of finished calls that the store refused.",
	})
	m.registry.MustRegister(m.writeErrors, &gauges{options: o, seen: map[live.Active]bool{}},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.begin()
	return m
}

const namespace = "flowbridge"

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

// The parameters of native histograms: a factor of 1.1 between buckets, at most 100 buckets, reset at most once an
// hour.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
	nativeReset   = time.Hour
)

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets,
		NativeHistogramMinResetDuration: nativeReset,
	}, labels)
	m.registry.MustRegister(v)
	return v
}

// begin creates the series of closed sets, so that a first event counts as an increase.
func (m *Metrics) begin() {
	for _, side := range []string{"a", "b"} {
		m.oneWay.WithLabelValues(side)
		m.silent.WithLabelValues(side)
		m.lost.WithLabelValues(side)
	}
}

// ExpectTrunk creates the series from which a trunk's answer ratio is computed. It does so for the same reason as
// Expect.
func (m *Metrics) ExpectTrunk(trunk string) {
	m.setup.WithLabelValues(trunk)
	m.calls.WithLabelValues(trunk, "", record.DispositionFailed, "no_route", "false")
}

// Expect creates the series for the usual ends of a trunk's calls to a target, because for Prometheus the first event
// of a new series is no increase(). prepared says whether the target has an API that is asked before a call.
func (m *Metrics) Expect(trunk, target string, prepared bool) {
	m.attempts.WithLabelValues(target, "answered")
	m.talk.expect(target)
	for disposition, causes := range usualEnds {
		m.expect(trunk, target, disposition, causes)
	}
	if prepared {
		m.expect(trunk, target, record.DispositionFailed, prepareFails)
		for _, outcome := range append(prepareFails, "ok") {
			m.prepares.WithLabelValues(target, outcome)
		}
	}
}

func (m *Metrics) expect(trunk, target, disposition string, causes []string) {
	for _, why := range causes {
		m.calls.WithLabelValues(trunk, target, disposition, why, "false")
		if disposition != record.DispositionAnswered {
			m.attempts.WithLabelValues(target, why)
		}
	}
}

// usualEnds lists the usual causes of the ends of calls, by disposition. prepareFails lists the usual reasons why an
// API gives no id.
var (
	usualEnds = map[string][]string{
		record.DispositionAnswered: {"caller_hangup", "agent_hangup"}, record.DispositionCancelled: {"caller_cancelled"},
		record.DispositionBusy: {"target_busy"}, record.DispositionNoAnswer: {"ring_timeout"},
		record.DispositionFailed: {
			"target_refused", "target_error", "target_silent", "target_unreachable",
			"target_circuit_open",
		},
	}
	prepareFails = []string{"prepare_failed", "prepare_timeout"}
)

// label restricts a label to names of the configuration.
func (o *Options) label(name string) string {
	if name == "" || o.IsName(name) {
		return name
	}
	return other
}

// Rang counts a call whose caller has got ringing.
func (m *Metrics) Rang(r record.Record, seconds float64) {
	m.postDial.WithLabelValues(m.options.label(r.Trunk)).Observe(seconds)
}

// Answered counts a call that was answered.
func (m *Metrics) Answered(r record.Record) {
	m.setup.WithLabelValues(m.options.label(r.Trunk)).Observe(float64(r.SetupMS) / 1000)
	if !r.DialedAt.IsZero() {
		m.stage.WithLabelValues("route").Observe(max(0, r.DialedAt.Sub(r.StartedAt.Time).Seconds()))
		m.stage.WithLabelValues("answer").Observe(max(0, r.AnsweredAt.Sub(r.DialedAt.Time).Seconds()))
	}
}

// Tried counts a finished attempt.
func (m *Metrics) Tried(_ record.Record, a *record.Attempt) {
	target, outcome := m.options.label(a.Target), cmp.Or(a.Cause, "answered")
	m.attempts.WithLabelValues(target, outcome).Inc()
	if a.Reason == record.ReasonRescue {
		m.rescues.WithLabelValues(target, outcome).Inc()
	}
	if a.Prepared() {
		m.prepare.WithLabelValues(target).Observe(float64(a.PrepareMS) / 1000)
		m.prepares.WithLabelValues(target, prepareOutcome(a)).Inc()
	}
}

// prepareOutcome returns the outcome of a request to a platform's API. An attempt may continue without it
// (prepare.on_failure: dial).
func prepareOutcome(a *record.Attempt) string {
	switch {
	case a.FailedToPrepare():
		return a.Cause
	case a.PrepareStatus >= 200 && a.PrepareStatus < 300:
		return "ok"
	default:
		return "prepare_failed"
	}
}

// Ended counts a finished call.
func (m *Metrics) Ended(r record.Record) {
	trunk := m.options.label(r.Trunk)
	m.calls.WithLabelValues(trunk, m.options.label(r.Target), r.Disposition, r.Cause,
		strconv.FormatBool(r.IsPlaced())).Inc()
	if r.Disposition == record.DispositionAnswered {
		m.duration.WithLabelValues(trunk).Observe(float64(r.DurationMS) / 1000)
	}
	if r.QueuedMS > 0 {
		m.wait.WithLabelValues(r.Route).Observe(float64(r.QueuedMS) / 1000)
	}
	m.countTold(&r)
	if r.Media.OneWay != "" {
		m.oneWay.WithLabelValues(r.Media.OneWay).Inc()
	}
	for _, side := range []string{"a", "b"} {
		if slices.ContainsFunc(r.Media.Silences, func(s record.Silence) bool { return s.Side == side }) {
			m.silent.WithLabelValues(side).Inc()
		}
	}
	if r.Media.MOS > 0 {
		m.mos.WithLabelValues().Observe(float64(r.Media.MOS))
	}
	m.talk.ended(m.options.label(r.Target), r.Talk)
	m.side("a", &r.Media.A)
	m.side("b", &r.Media.B)
}

// ExpectTold creates the series of a route that tells callers something.
func (m *Metrics) ExpectTold(route string) {
	for _, result := range []string{"whole", "cut", "failed"} {
		m.told.WithLabelValues(route, result)
	}
}

// countTold counts what the caller of a finished call was told.
func (m *Metrics) countTold(r *record.Record) {
	if r.Told == nil {
		return
	}
	result := "failed"
	if r.Told.Whole {
		result = "whole"
	} else if r.Told.Packets > 0 {
		result = "cut"
	}
	m.ExpectTold(r.Route)
	m.told.WithLabelValues(r.Route, result).Inc()
}

func (m *Metrics) side(leg string, s *record.MediaSide) {
	if s.Rx > 0 {
		m.jitter.WithLabelValues(leg).Observe(s.JitterMS / 1000)
		m.lost.WithLabelValues(leg).Add(float64(max(0, s.Missed())))
	}
}

// NotWritten counts a record that the store refused.
func (m *Metrics) NotWritten() { m.writeErrors.Inc() }
