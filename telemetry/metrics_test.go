package telemetry

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/rs/zerolog"

	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// sample returns gauges that all have a value.
func sample() Gauges {
	return Gauges{
		Node:   live.Node{Calls: 3, Rejected: map[string]uint64{"full": 2}, Ports: live.Ports{InUse: 6, Limit: 10}},
		Active: map[live.Active]int{{Trunk: "carrier", Target: "synthflow", Phase: "bridged"}: 2, {Trunk: "carrier", Target: "sip:+1@x", Phase: "dialing"}: 1},
		Targets: []live.Target{{
			Name: "synthflow", Health: live.HealthFailing, Circuits: []live.Circuit{{Of: live.CircuitAPI, State: live.CircuitOpen, Opened: 2, Refused: 40}},
			Addresses: []live.Address{{State: live.AddressOK}, {State: live.AddressAvoided}, {State: live.AddressAvoided}},
		}}, Trunks: []live.Peer{{Name: "carrier", Calls: 3, MaxCalls: 9}},
		SIP: []SIPCount{{Received: true, Method: "INVITE", N: 5}, {Status: 200, N: 4}},
		RTP: map[string]RTPCount{"a": {RxPackets: 7, Dropped: map[string]uint64{"held": 1}}}, Streams: map[string]int{"userspace": 4},
		More: func(add Add) {
			add("certificate_expiry_timestamp_seconds", "Certificates.", 2000, "file", "/etc/cert.pem")
			add("ladders_dropped_total", "Ladders.", 3)
			add("outbox_records", "Rows.", 8, "consumer", "fleet")
		},
	}
}

func newMetrics(g func() Gauges) *Metrics {
	return New(Options{Version: "v1", Revision: "abc", Gauges: g, IsName: func(s string) bool { return s == "carrier" || s == "synthflow" }})
}

// call returns a record in which every field is set.
func call() record.Record {
	at := record.TimeOf(time.Unix(1000, 0))
	return record.Record{
		ID: "1", Trunk: "carrier", Target: "synthflow", From: "+15075550100", Disposition: record.DispositionAnswered, Cause: "caller_hangup",
		StartedAt: at, DialedAt: record.TimeOf(at.Add(time.Second)), AnsweredAt: record.TimeOf(at.Add(3 * time.Second)), SetupMS: 3000, DurationMS: 60_000,
		Media: record.Media{A: record.MediaSide{Rx: 100, Lost: 3, JitterMS: 4}, B: record.MediaSide{Rx: 100}, MOS: 4.2, OneWay: "b"},
	}
}

// tell reports a call to the metrics as a watcher does.
func tell(m *Metrics, r *record.Record, attempts ...record.Attempt) {
	m.Rang(*r, 0.02)
	for i := range attempts {
		m.Tried(*r, &attempts[i])
	}
	m.Answered(*r)
	m.Ended(*r)
}

func gathered(t *testing.T, m *Metrics) []*dto.MetricFamily {
	t.Helper()
	all, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func scraped(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(zerolog.Nop()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// A failure's counter exists with 0 from the start, so that the first failure shows as an increase.
func TestExpected(t *testing.T) {
	m := newMetrics(sample)
	m.ExpectTrunk("carrier")
	m.Expect("carrier", "synthflow", true)
	m.Expect("carrier", "vapi", false)
	got := scraped(t, m)
	for _, want := range []string{
		`flowbridge_calls_total{cause="no_route",disposition="failed",placed="false",target="",trunk="carrier"} 0`,
		`flowbridge_calls_total{cause="agent_hangup",disposition="answered",placed="false",target="synthflow",trunk="carrier"} 0`,
		`flowbridge_calls_total{cause="target_error",disposition="failed",placed="false",target="vapi",trunk="carrier"} 0`,
		`flowbridge_calls_total{cause="prepare_timeout",disposition="failed",placed="false",target="synthflow",trunk="carrier"} 0`,
		`flowbridge_attempts_total{cause="target_error",target="synthflow"} 0`,
		`flowbridge_attempts_total{cause="answered",target="synthflow"} 0`,
		`flowbridge_prepare_requests_total{outcome="prepare_failed",target="synthflow"} 0`,
		`flowbridge_call_setup_seconds_count{trunk="carrier"} 0`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(got, `outcome="ok",target="vapi"`) || strings.Contains(got, `cause="caller_hangup",target=`) {
		t.Error("a target without an API has requests to it, or an attempt ends with the caller's hang-up")
	}
	r := call()
	r.Disposition, r.Cause = record.DispositionFailed, "target_error"
	m.Ended(r)
	if want := `flowbridge_calls_total{cause="target_error",disposition="failed",placed="false",target="synthflow",trunk="carrier"} 1`; !strings.Contains(scraped(t, m), want) {
		t.Errorf("there is no %s", want)
	}
}

// TestTalk: the figures of a conversation count for its target, unless they are doubtful.
func TestTalk(t *testing.T) {
	m := newMetrics(sample)
	figures := record.Talk{
		Confidence: record.TalkGood, FirstAgentMS: new(int64(700)), Ignored: new(int64(2)), AgentDeadAirMS: new(int64(4000)),
		Turns: &record.Durations{N: 2, Values: []uint16{900, 2100}}, BargeIns: &record.Durations{N: 1, Values: []uint16{350}},
	}
	noisy := figures
	noisy.Confidence, noisy.Reason = "noisy", "background"
	r := call()
	for _, talk := range []*record.Talk{&figures, &noisy, {Confidence: "not_measured", Reason: "codec"}, nil} {
		r.Talk = talk
		m.Ended(r)
	}
	got := scraped(t, m)
	for _, want := range []string{
		`flowbridge_talk_calls_total{confidence="good",target="synthflow"} 1`,
		`flowbridge_talk_calls_total{confidence="noisy",target="synthflow"} 1`,
		`flowbridge_talk_calls_total{confidence="not_measured",target="synthflow"} 1`,
		`flowbridge_talk_turn_seconds_sum{target="synthflow"} 3`,
		`flowbridge_talk_turn_seconds_bucket{target="synthflow",le="1"} 1`,
		`flowbridge_talk_first_audio_seconds_sum{target="synthflow"} 0.7`,
		`flowbridge_talk_barge_in_seconds_sum{target="synthflow"} 0.35`,
		`flowbridge_talk_barge_ins_ignored_total{target="synthflow"} 2`,
		`flowbridge_talk_dead_air_seconds_sum{target="synthflow"} 4`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("there is no %s", want)
		}
	}
}

// The metrics of a call have the values of its record, in base units.
func TestMetrics(t *testing.T) {
	m := newMetrics(sample)
	r := call()
	tell(m, &r, record.Attempt{Target: "synthflow", PrepareMS: 40, PrepareStatus: 503, Cause: "prepare_failed"}, record.Attempt{Target: "synthflow", PrepareMS: 60, PrepareStatus: 200},
		record.Attempt{Target: "vapi", Reason: record.ReasonRescue})
	m.NotWritten()
	m.Ended(record.Record{Trunk: "carrier", Disposition: record.DispositionNoAnswer, Cause: "ring_timeout", Placed: true})
	m.ExpectTold("sales")
	for _, told := range []record.Record{
		{Route: "support", Told: &record.Told{Packets: 80}},
		{Route: "support", Told: &record.Told{}},
		{Route: "sales", Told: &record.Told{Packets: 160, Whole: true}},
		{Route: "none"},
	} {
		m.Ended(told)
	}
	got := scraped(t, m)
	for _, want := range []string{
		`flowbridge_calls_total{cause="caller_hangup",disposition="answered",placed="false",target="synthflow",trunk="carrier"} 1`,
		`flowbridge_calls_total{cause="ring_timeout",disposition="no_answer",placed="true",target="",trunk="carrier"} 1`,
		`flowbridge_attempts_total{cause="prepare_failed",target="synthflow"} 1`,
		`flowbridge_attempts_total{cause="answered",target="synthflow"} 1`,
		`flowbridge_rescues_total{cause="answered",target="other"} 1`,
		`flowbridge_prepare_requests_total{outcome="ok",target="synthflow"} 1`,
		`flowbridge_prepare_requests_total{outcome="prepare_failed",target="synthflow"} 1`,
		`flowbridge_prepare_seconds_sum{target="synthflow"} 0.1`,
		`flowbridge_call_duration_seconds_sum{trunk="carrier"} 60`,
		`flowbridge_post_dial_delay_seconds_bucket{trunk="carrier",le="0.025"} 1`,
		`flowbridge_setup_stage_seconds_sum{stage="route"} 1`,
		`flowbridge_setup_stage_seconds_sum{stage="answer"} 2`,
		`flowbridge_rtp_jitter_seconds_sum{leg="a"} 0.004`,
		`flowbridge_rtp_lost_packets_total{leg="a"} 3`,
		`flowbridge_one_way_audio_total{side="b"} 1`,
		`flowbridge_calls_told_total{result="whole",route="support"} 0`,
		`flowbridge_calls_told_total{result="cut",route="support"} 1`,
		`flowbridge_calls_told_total{result="failed",route="support"} 1`,
		`flowbridge_calls_told_total{result="whole",route="sales"} 1`,
		`flowbridge_cdr_write_errors_total 1`,
		`flowbridge_calls_active{phase="bridged",target="synthflow",trunk="carrier"} 2`,
		`flowbridge_calls_active{phase="dialing",target="other",trunk="carrier"} 1`,
		`flowbridge_target_health{health="failing",target="synthflow"} 1`,
		`flowbridge_target_health{health="ok",target="synthflow"} 0`,
		`flowbridge_circuit_state{of="api",target="synthflow"} 2`,
		`flowbridge_circuit_opened_total{of="api",target="synthflow"} 2`,
		`flowbridge_circuit_refused_total{of="api",target="synthflow"} 40`,
		`flowbridge_target_addresses{state="avoided",target="synthflow"} 2`,
		`flowbridge_trunk_calls_limit{trunk="carrier"} 9`,
		`flowbridge_sip_messages_total{code="",direction="in",method="INVITE"} 5`,
		`flowbridge_sip_messages_total{code="200",direction="out",method=""} 4`,
		`flowbridge_sip_rejected_total{reason="full"} 2`,
		`flowbridge_rtp_packets_total{direction="in",leg="a"} 7`,
		`flowbridge_rtp_dropped_packets_total{leg="a",reason="held"} 1`,
		`flowbridge_build_info{revision="abc",version="v1"} 1`,
		`flowbridge_certificate_expiry_timestamp_seconds{file="/etc/cert.pem"} 2000`,
		`flowbridge_outbox_records{consumer="fleet"} 8`,
		"# TYPE flowbridge_ladders_dropped_total counter",
		"go_sched_gomaxprocs_threads", "go_gc_gomemlimit_bytes", "process_open_fds",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// Prometheus also gets native histograms.
func TestNativeHistograms(t *testing.T) {
	m := newMetrics(sample)
	r := call()
	tell(m, &r, record.Attempt{Target: "synthflow", PrepareMS: 60, PrepareStatus: 200})
	native := 0
	for _, f := range gathered(t, m) {
		for _, one := range f.GetMetric() {
			if h := one.GetHistogram(); h != nil && strings.HasPrefix(f.GetName(), namespace) && h.Schema != nil && len(h.GetBucket()) > 0 {
				native++
			}
		}
	}
	if native < 7 {
		t.Errorf("%d native histograms", native)
	}
}

// Text from peers does not become a label: neither a number nor an id nor a name that the configuration lacks.
func TestLabelsAreBounded(t *testing.T) {
	m := newMetrics(sample)
	for i := range 1000 {
		r := call()
		r.ID, r.Trunk, r.Target = fmt.Sprint(i), "x"+fmt.Sprint(i), fmt.Sprint("sip:+1507", i, "@elsewhere")
		tell(m, &r, record.Attempt{Target: r.Target, Cause: "target_silent"})
	}
	series := 0
	for _, f := range gathered(t, m) {
		for _, one := range f.GetMetric() {
			series++
			for _, l := range one.GetLabel() {
				if v := l.GetValue(); strings.Contains(v, "sip:") || strings.Contains(v, "+1507") {
					t.Errorf("%s has %v", f.GetName(), l)
				}
			}
		}
	}
	if series > 200 {
		t.Errorf("%d series", series)
	}
}

// The metrics' names follow Prometheus's conventions.
func TestNames(t *testing.T) {
	m := newMetrics(sample)
	r := call()
	tell(m, &r, record.Attempt{Target: "synthflow", PrepareMS: 60, PrepareStatus: 200})
	problems, err := promlint.NewWithMetricFamilies(gathered(t, m)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, namespace) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// However often the metrics are scraped, the node's figures are read at most once a second.
func TestScrapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		m := newMetrics(func() Gauges { asked++; return sample() })
		h := m.Handler(zerolog.Nop())
		for range 10 * 50 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
			if w.Code != 200 {
				t.Fatalf("status %d; want 200", w.Code)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if asked > 11 {
			t.Errorf("asked %d times in ten seconds", asked)
		}
	})
}

// Calls can be counted while the metrics are scraped.
func TestConcurrently(t *testing.T) {
	var asked atomic.Int32
	m := newMetrics(func() Gauges { asked.Add(1); return sample() })
	h := m.Handler(zerolog.Nop())
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				r := call()
				tell(m, &r, record.Attempt{Target: "synthflow"})
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
			}
		})
	}
	group.Wait()
	if got := scraped(t, m); !strings.Contains(got, `flowbridge_call_mos_count 400`) {
		t.Error("calls are missing")
	}
}

// BenchmarkCall measures the cost of the metrics for one call.
func BenchmarkCall(b *testing.B) {
	m := newMetrics(sample)
	r := call()
	a := record.Attempt{Target: "synthflow", PrepareMS: 60, PrepareStatus: 200}
	b.ReportAllocs()
	for b.Loop() {
		tell(m, &r, a)
	}
}

// BenchmarkScrape measures a scrape that is not answered from the cache.
func BenchmarkScrape(b *testing.B) {
	m := newMetrics(sample)
	r := call()
	tell(m, &r, record.Attempt{Target: "synthflow", PrepareMS: 60, PrepareStatus: 200})
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		m.Handler(zerolog.Nop()).ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), "GET", "/metrics", nil))
	}
}
