package calltest

import (
	"strings"
	"testing"

	"flowbridge/internal/tracecontext"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	traceparent  = "00-" + callersTrace + "-b7ad6b7169203331-01"
	tracing      = "\ntelemetry: {otlp: {endpoint: \"http://127.0.0.1:4318\"}}\n"
)

// The platform's API always gets the trace of a call. The target's INVITE has the trace only if the caller's INVITE has
// one. The record has the trace id. Both messages name spans that belong to the call.
func TestTraceOfACall(t *testing.T) {
	untrusted := strings.Replace(testConfig, "country:", "trusted: false, country:", 1)
	configured := strings.Replace(testConfig, "    headers:\n", "    headers:\n      Traceparent: configured\n", 1)
	passed := strings.Replace(testConfig, "    headers:\n", "    pass_headers: [traceparent]\n    headers:\n", 1)
	for _, tt := range []struct {
		name, yaml, extra string
		record            string // trace_id: the caller's, our own, or none
		prepare           string // the trace in the request to the API
		invite            string // the trace in the INVITE of leg B
	}{
		{"on", testConfig + tracing, "", "own", "own", ""},
		{"on, the caller's", testConfig + tracing, "Traceparent: " + traceparent + "\n", callersTrace, callersTrace, callersTrace},
		{"on, two headers", testConfig + tracing, strings.Repeat("traceparent: "+traceparent+"\n", 2), "own", "own", ""},
		{"on, nonsense", testConfig + tracing, "traceparent: " + strings.Repeat("0", 2000) + "\n", "own", "own", ""},
		{"on, not trusted", untrusted + tracing, "traceparent: " + traceparent + "\n", "own", "own", ""},
		{"on, configured", configured + tracing, "traceparent: " + traceparent + "\n", callersTrace, callersTrace, "configured"},
		{"on, passed", passed + tracing, "traceparent: " + traceparent + "\n", callersTrace, callersTrace, callersTrace},
		{"off", testConfig, "", "", "own", ""},
		{"off, the caller's", testConfig, "traceparent: " + traceparent + "\n", callersTrace, callersTrace, traceparent},
	} {
		runIn(t, tt.name, tt.yaml, func(w *world) {
			d := w.carrier.newCall("+15075550101")
			d.extra = tt.extra
			invite := w.carrier.ringsAt(w.agent, d)
			w.carrier.isBusyAt(w.agent, invite, "a", d)
			r := w.record()
			own := strings.ReplaceAll(r.ID, "-", "")
			if want := strings.ReplaceAll(tt.record, "own", own); r.TraceID != want {
				w.t.Errorf("trace_id %q; want %q", r.TraceID, want)
			}
			off := !strings.Contains(tt.yaml, "telemetry")
			brought := off && tt.record != ""
			asked, _ := tracecontext.Parse(w.prepare.trace[0])
			if want := strings.ReplaceAll(tt.prepare, "own", own); asked.Trace.String() != want {
				w.t.Errorf("prepare: %q; want trace %q", w.prepare.trace[0], want)
			}
			if ours := tracecontext.Span(r.ID, tracecontext.KindPrepare, 1); brought == (asked.Span == ours) || asked.Sampled != (!off || brought) {
				w.t.Errorf("prepare: %+v; ours is %x", asked, ours)
			}
			got := invite.value("traceparent")
			if sent, ok := tracecontext.Parse(got); ok && got != tt.invite {
				if sent.Span != tracecontext.Span(r.ID, tracecontext.KindAttempt, 1) {
					w.t.Errorf("INVITE: %s is not the attempt's span", got)
				}
				got = sent.Trace.String()
			}
			if got != tt.invite || strings.Count(strings.ToLower(invite.raw), "traceparent:") > 1 {
				w.t.Errorf("INVITE: %q; want %q\n%s", got, tt.invite, invite.raw)
			}
		})
	}
}
