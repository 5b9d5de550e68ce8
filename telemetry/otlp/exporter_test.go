package otlp

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"flowbridge/internal/testlog"
	"flowbridge/internal/tracecontext"
	"flowbridge/store/record"
)

const (
	callID      = "019a9d2e-7c11-7f00-8a3b-0123456789ab"
	ownTrace    = "019a9d2e7c117f008a3b0123456789ab"
	callersOwn  = "0af7651916cd43dd8448eb211c80319c"
	traceparent = "00-" + callersOwn + "-b7ad6b7169203331-01"
)

// roundTrip is a fake collector without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// decode reads a request in the way a collector does.
func decode(t *testing.T, r *http.Request) *collector.ExportTraceServiceRequest {
	t.Helper()
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	req := &collector.ExportTraceServiceRequest{}
	if err := proto.Unmarshal(body, req); err != nil {
		t.Fatal(err)
	}
	return req
}

// draw returns the spans of a request as a tree, in which names replace the ids.
func draw(t *testing.T, req *collector.ExportTraceServiceRequest) string {
	t.Helper()
	var b strings.Builder
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			names := map[string]string{}
			for _, s := range ss.GetSpans() {
				names[string(s.GetSpanId())] = s.GetName()
			}
			spans := slices.Clone(ss.GetSpans())
			slices.Reverse(spans) // spans come in the order of their ends, the call's last
			var lines []string
			for _, s := range spans {
				parent := names[string(s.GetParentSpanId())]
				if parent == "" {
					parent = fmt.Sprintf("%x", s.GetParentSpanId())
				}
				line := fmt.Sprintf("%x %s < %s %s %s +%dms", s.GetTraceId(), s.GetName(), parent, strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"),
					time.Unix(0, int64(s.GetStartTimeUnixNano())).UTC().Format("05.000"), (s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano())/1e6)
				if m := s.GetStatus().GetMessage(); m != "" {
					line += " failed: " + m
				}
				for _, a := range s.GetAttributes() {
					if v := a.GetValue(); strings.Contains(a.GetKey(), "status_code") {
						line += fmt.Sprintf(" %d", v.GetIntValue())
					}
				}
				lines = append(lines, line)
			}
			fmt.Fprintln(&b, strings.Join(lines, "\n"))
		}
	}
	return b.String()
}

var start = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func at(ms int) record.Time { return record.TimeOf(start.Add(time.Duration(ms) * time.Millisecond)) }

// answered returns the record of a call that was transferred. Its first target could not be prepared, and its second
// one answered.
func answered() record.Record {
	return record.Record{
		ID: callID, Trunk: "carrier", Route: "routes[0]", Target: "agent", From: "+15550100001", To: "+15550100002",
		StartedAt: at(0), RingingAt: at(10), AnsweredAt: at(900), EndedAt: at(20_000), Disposition: record.DispositionAnswered, SIPStatus: 200, Cause: "caller_hangup",
		Attempts: []record.Attempt{
			{Target: "first", StartedAt: at(5), PrepareMS: 212, PrepareStatus: 503, Cause: "prepare_failed", MS: 212},
			{Target: "agent", StartedAt: at(220), PrepareMS: 80, PrepareStatus: 200, SIPStatus: 200, MS: 680, SIPCallID: "b-leg"},
			{Target: "desk", StartedAt: at(9_000), SIPStatus: 200, MS: 700, Reason: "transfer"},
		},
	}
}

// export sends records through an exporter, and returns the requests that the collector got.
func export(t *testing.T, o Options, records ...record.Record) (got []*collector.ExportTraceServiceRequest) {
	t.Helper()
	o.Endpoint, o.Log = "http://127.0.0.1:4318/v1/traces", zerolog.Nop()
	o.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		got = append(got, decode(t, r))
		return answer(200, ""), nil
	})
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		e.Ended(r)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSpansOfACall(t *testing.T) {
	brought := answered()
	brought.Traceparent = traceparent
	failed := record.Record{
		ID: callID, StartedAt: at(0), EndedAt: at(4_000), Disposition: record.DispositionFailed, SIPStatus: 503, Cause: "prepare_timeout",
		Attempts: []record.Attempt{
			{Target: "first", StartedAt: at(1), PrepareMS: 3000, Cause: "prepare_timeout", MS: 3001},
			{Target: "second", StartedAt: at(3_002), SIPStatus: 486, Cause: "busy", MS: 900},
			{Target: "never", Cause: "target_limit"},
		},
	}
	const tree = `ID call < PARENT SERVER 00.000 +20000ms 200
ID transfer < call CLIENT 09.000 +700ms 200
ID attempt < call CLIENT 00.220 +680ms 200
ID prepare < attempt CLIENT 00.220 +80ms 200
ID attempt < call CLIENT 00.005 +212ms failed: prepare_failed
ID prepare < attempt CLIENT 00.005 +212ms failed: prepare_failed 503
ID answered < call INTERNAL 00.900 +19100ms
ID ringing < call INTERNAL 00.010 +890ms
`
	for _, tt := range []struct {
		name   string
		record record.Record
		want   string
	}{
		{"its own trace", answered(), strings.NewReplacer("ID", ownTrace, "PARENT ", " ").Replace(tree)},
		{"the caller's trace", brought, strings.NewReplacer("ID", callersOwn, "PARENT", "b7ad6b7169203331").Replace(tree)},
		{"failed", failed, strings.ReplaceAll(`ID call <  SERVER 00.000 +4000ms failed: prepare_timeout 503
ID attempt < call CLIENT 03.002 +900ms failed: busy 486
ID attempt < call CLIENT 00.001 +3001ms failed: prepare_timeout
ID prepare < attempt CLIENT 00.001 +3000ms failed: prepare_timeout
`, "ID", ownTrace)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := export(t, Options{Node: "n1", Version: "v1"}, tt.record)
			if len(got) != 1 {
				t.Fatalf("%d requests", len(got))
			}
			if diff := cmp.Diff(tt.want, draw(t, got[0])); diff != "" {
				t.Errorf("want - got +\n%s", diff)
			}
			if text := got[0].String(); strings.Contains(text, "+1555") {
				t.Errorf("a number is in the spans: %s", text)
			}
		})
	}
}

// The spans in the export have the ids that were sent in messages during the call.
func TestSpanIDs(t *testing.T) {
	got := export(t, Options{}, answered())
	ids := map[string]bool{}
	for _, s := range got[0].GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
		ids[fmt.Sprintf("%x", s.GetSpanId())] = true
	}
	live := tracecontext.New(callID, "", true)
	for _, sent := range []string{live.Header(tracecontext.KindPrepare, 2), live.Header(tracecontext.KindAttempt, 2), live.Header(tracecontext.KindTransfer, 3)} {
		if p, ok := tracecontext.Parse(sent); !ok || !ids[fmt.Sprintf("%x", p.Span)] || p.Trace.String() != ownTrace {
			t.Errorf("%s names no span of %v", sent, ids)
		}
	}
}

// A call that is not sampled is not sent, and does not count as lost.
func TestNotSampled(t *testing.T) {
	record := answered()
	record.Traceparent = traceparent[:53] + "00"
	if got := export(t, Options{}, record); got != nil {
		t.Errorf("sent %v", got)
	}
	record.Traceparent = traceparent
	if got := export(t, Options{}, record); len(got) != 1 {
		t.Errorf("sent %v", got)
	}
}

// A collector over HTTP gets the token.
func TestCollectorOverHTTP(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path != "/v1/traces" || r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		for _, rs := range decode(t, r).GetResourceSpans() {
			for _, s := range rs.GetScopeSpans()[0].GetSpans() {
				if s.GetName() == "call" {
					calls++
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	e, err := New(Options{Endpoint: server.URL + "/v1/traces", Token: "s3cret", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	const sent = 250
	for range sent {
		e.Ended(answered())
	}
	_ = e.Close()
	if calls != sent || e.Exported() != sent || e.Dropped() != 0 {
		t.Errorf("%d calls came, %d exported, %d dropped", calls, e.Exported(), e.Dropped())
	}
	server.Close()
}

// A redirect is not followed, because the other server would get the token.
func TestRedirect(t *testing.T) {
	asked := 0
	e, err := New(Options{Endpoint: "https://collector.example/v1/traces", Token: "s3cret", Log: zerolog.Nop(), transport: roundTrip(func(*http.Request) (*http.Response, error) {
		asked++
		res := answer(http.StatusTemporaryRedirect, "")
		res.Header.Set("Location", "https://elsewhere.example/")
		return res, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	e.Ended(answered())
	_ = e.Close()
	if asked != 1 || e.Dropped() != 1 {
		t.Errorf("asked %d times, dropped %d", asked, e.Dropped())
	}
}

// simulate runs a test with an exporter in a bubble.
func simulate(t *testing.T, transport roundTrip, test func(e *Exporter, log *testlog.Log)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log testlog.Log
		e, err := New(Options{Endpoint: "http://127.0.0.1:4318/v1/traces", Log: zerolog.New(&log), transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		test(e, &log)
		begun := time.Now()
		_ = e.Close()
		if took := time.Since(begun); took > closeAfter {
			t.Errorf("Close took %s", took)
		}
		time.Sleep(closeAfter) // until its timer has expired
	})
}

// If a collector is away for some seconds, nothing is lost. If it is away longer, the spans of the calls in that time
// are lost.
func TestCollectorAway(t *testing.T) {
	var away atomic.Bool
	var taken atomic.Int32
	away.Store(true)
	simulate(t, func(*http.Request) (*http.Response, error) {
		if away.Load() {
			return nil, errors.New("connection refused")
		}
		taken.Add(1)
		return answer(200, ""), nil
	}, func(e *Exporter, log *testlog.Log) {
		e.Ended(answered())
		time.Sleep(5 * time.Second)
		away.Store(false)
		time.Sleep(10 * time.Second)
		if e.Exported() != 1 || e.Dropped() != 0 || taken.Load() != 1 {
			t.Errorf("away for seconds: %d exported, %d dropped", e.Exported(), e.Dropped())
		}
		away.Store(true)
		for range 600 { // for ten minutes
			e.Ended(answered())
			time.Sleep(time.Second)
		}
		if e.Dropped() < 400 {
			t.Errorf("away for minutes: %d dropped", e.Dropped())
		}
		away.Store(false)
		time.Sleep(2 * time.Minute)
		if all := e.Exported() + e.Dropped(); all != 601 {
			t.Errorf("%d exported, %d dropped; together %d", e.Exported(), e.Dropped(), all)
		}
		if lines := strings.Count(log.String(), "can't deliver spans"); lines < 2 || lines > 14 {
			t.Errorf("%d lines in ten minutes:\n%s", lines, log)
		}
		if !strings.Contains(log.String(), "collector reachable again") {
			t.Errorf("log: %s", log)
		}
	})
}

// A collector that never answers neither delays calls nor makes memory grow.
func TestCollectorSlow(t *testing.T) {
	simulate(t, func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}, func(e *Exporter, log *testlog.Log) {
		begun := time.Now()
		for range 2 * maxWaiting {
			e.Ended(answered())
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("calls waited %s", took)
		}
		synctest.Wait()
		if d := e.Dropped(); d < maxWaiting-maxBatch || d > maxWaiting {
			t.Errorf("%d dropped", d)
		}
		time.Sleep(time.Minute)
		if !strings.Contains(log.String(), "no answer in time") {
			t.Errorf("log: %s", log)
		}
	})
}

// If a collector refuses a request, the same calls are not sent again.
func TestCollectorRefuses(t *testing.T) {
	var asked atomic.Int32
	simulate(t, func(*http.Request) (*http.Response, error) {
		asked.Add(1)
		return answer(401, strings.Repeat("no such token\n", 1000)), nil
	}, func(e *Exporter, log *testlog.Log) {
		e.Ended(answered())
		time.Sleep(2 * time.Second)
		if asked.Load() != 1 || e.Dropped() != 1 {
			t.Errorf("asked %d times, dropped %d", asked.Load(), e.Dropped())
		}
		if !strings.Contains(log.String(), "401") || len(log.String()) > 600 {
			t.Errorf("log: %s", log)
		}
	})
}

// Calling Ended after Close, as the last call may, does not block. The record is dropped.
func TestClosed(t *testing.T) {
	e, err := New(Options{Endpoint: "http://127.0.0.1:4318/v1/traces", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = e.Close(), e.Close()
	e.Ended(answered())
	if e.Dropped() != 1 {
		t.Errorf("%d dropped", e.Dropped())
	}
}
