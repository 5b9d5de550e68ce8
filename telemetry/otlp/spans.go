package otlp

import (
	"cmp"
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"flowbridge/internal/tracecontext"
	"flowbridge/store/record"
)

// ids generates the ids of a call's spans, which are derived from the call's id. The ids are passed in the context.
type ids struct{}

type idKey struct{}

// NewIDs returns the ids for a span without a parent.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	parent, _ := ctx.Value(idKey{}).(tracecontext.Parent)
	return trace.TraceID(parent.Trace), trace.SpanID(parent.Span)
}

// NewSpanID returns the id for a span that has a parent.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	parent, _ := ctx.Value(idKey{}).(tracecontext.Parent)
	return trace.SpanID(parent.Span)
}

// collected keeps ended spans for the goroutine that makes them.
type collected struct{ spans []sdktrace.ReadOnlySpan }

func (*collected) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (c *collected) OnEnd(s sdktrace.ReadOnlySpan)                 { c.spans = append(c.spans, s) }
func (*collected) Shutdown(context.Context) error                  { return nil }
func (*collected) ForceFlush(context.Context) error                { return nil }

type span struct {
	kind       tracecontext.Kind
	attempt    int
	spanKind   trace.SpanKind
	start, end time.Time
	problem    string // why the stage failed; may be empty
	attributes []attribute.KeyValue
}

// traceOfRecord returns the trace of a finished call.
func traceOfRecord(r *record.Record) tracecontext.Trace {
	return tracecontext.New(r.ID, r.Traceparent, true)
}

// makeSpans creates the spans of a finished call.
func makeSpans(tracer trace.Tracer, r *record.Record) {
	id, ok := tracecontext.OfCall(r.ID)
	ctx := context.Background()
	if caller, brought := tracecontext.Parse(r.Traceparent); brought {
		id, ok = caller.Trace, true
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID(caller.Trace), SpanID: trace.SpanID(caller.Span), TraceFlags: trace.FlagsSampled,
			Remote: true,
		}))
	}
	if !ok {
		return
	}
	begin := func(ctx context.Context, s *span) (context.Context, func()) {
		ctx = context.WithValue(ctx, idKey{},
			tracecontext.Parent{Trace: id, Span: tracecontext.Span(r.ID, s.kind, s.attempt)})
		ctx, made := tracer.Start(ctx, string(s.kind), trace.WithTimestamp(s.start), trace.WithSpanKind(s.spanKind),
			trace.WithAttributes(s.attributes...))
		if s.problem != "" {
			made.SetStatus(codes.Error, s.problem)
		}
		return ctx, func() { made.End(trace.WithTimestamp(latest(s.start, s.end))) }
	}
	whole := callSpan(r)
	within, endCall := begin(ctx, &whole)
	for _, s := range stages(r) {
		_, end := begin(within, &s)
		end()
	}
	for i := range r.Attempts {
		tried := attemptSpan(&r.Attempts[i], i+1)
		if tried.start.IsZero() {
			continue
		}
		under, end := begin(within, &tried)
		if asked, did := prepareSpan(&r.Attempts[i], i+1); did {
			_, end := begin(under, &asked)
			end()
		}
		end()
	}
	endCall()
}

// latest keeps a span from ending before it starts, which could otherwise happen if the clock was set.
func latest(a, b time.Time) time.Time {
	if b.Before(a) {
		return a
	}
	return b
}

func callSpan(r *record.Record) span {
	s := span{
		kind: tracecontext.KindCall, spanKind: trace.SpanKindServer, start: r.StartedAt.Time, end: r.EndedAt.Time,
		attributes: texts(
			"flowbridge.call", r.ID, "flowbridge.trunk", r.Trunk, "flowbridge.route", r.Route, "flowbridge.target", r.Target,
			"flowbridge.direction", r.Direction, "flowbridge.disposition", r.Disposition, "flowbridge.cause", r.Cause,
			"flowbridge.ended_by", r.EndedBy, "flowbridge.codec", r.Codec, "flowbridge.platform_call_id", r.SynthflowCallID,
			"sip.call_id", r.SIPCallID, "sip.target_call_id", r.TargetSIPCallID,
		),
	}
	if r.SIPStatus != 0 {
		s.attributes = append(s.attributes, attribute.Int("sip.status_code", r.SIPStatus))
	}
	if r.Media.MOS != 0 {
		s.attributes = append(s.attributes, attribute.Float64("flowbridge.mos", float64(r.Media.MOS)))
	}
	s.attributes = append(s.attributes, talk(r.Talk)...)
	if r.Disposition == record.DispositionFailed || r.Disposition == record.DispositionInterrupted {
		s.problem = r.Cause
	}
	return s
}

// stages returns the spans of the stages of a call.
func stages(r *record.Record) (all []span) {
	if !r.RingingAt.IsZero() {
		all = append(all, span{
			kind: tracecontext.KindRinging, spanKind: trace.SpanKindInternal, start: r.RingingAt.Time,
			end: cmp.Or(r.AnsweredAt, r.EndedAt).Time,
		})
	}
	if !r.AnsweredAt.IsZero() {
		all = append(all, span{
			kind: tracecontext.KindAnswered, spanKind: trace.SpanKindInternal, start: r.AnsweredAt.Time,
			end: r.EndedAt.Time,
		})
	}
	return all
}

func attemptSpan(a *record.Attempt, number int) span {
	s := span{
		kind: tracecontext.KindAttempt, attempt: number, spanKind: trace.SpanKindClient,
		start: a.StartedAt.Time, end: a.StartedAt.Add(time.Duration(a.MS) * time.Millisecond), problem: a.Cause,
		attributes: append(texts("flowbridge.target", a.Target, "flowbridge.cause", a.Cause, "sip.call_id", a.SIPCallID,
			"network.transport", a.Transport),
			attribute.Int("flowbridge.attempt", number)),
	}
	if a.Reason != "" {
		s.kind = tracecontext.KindTransfer
	}
	if a.SIPStatus != 0 {
		s.attributes = append(s.attributes, attribute.Int("sip.status_code", a.SIPStatus))
	}
	return s
}

// prepareSpan returns the span of the request to the platform's API at the start of an attempt. did is false if
// there was none.
func prepareSpan(a *record.Attempt, number int) (s span, did bool) {
	if !a.Prepared() {
		return span{}, false
	}
	s = span{
		kind: tracecontext.KindPrepare, attempt: number, spanKind: trace.SpanKindClient,
		start: a.StartedAt.Time, end: a.StartedAt.Add(time.Duration(a.PrepareMS) * time.Millisecond),
		attributes: texts("flowbridge.target", a.Target),
	}
	if a.PrepareStatus != 0 {
		s.attributes = append(s.attributes, attribute.Int("http.response.status_code", a.PrepareStatus))
	}
	switch {
	case a.FailedToPrepare():
		s.problem = a.Cause
	case a.PrepareStatus/100 != 2: // dialled without an id
		s.problem = "prepare_failed"
	}
	return s, true
}

// texts turns pairs of a name and a value into attributes. Pairs without a value are left out.
func texts(pairs ...string) (all []attribute.KeyValue) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			all = append(all, attribute.String(pairs[i], strings.ToValidUTF8(pairs[i+1], "\ufffd")))
		}
	}
	return all
}
