// Package otlp sends the traces of calls to an OpenTelemetry collector, using OTLP over HTTP.
//
//	call                                   from the INVITE to the end; the caller's span is its parent, if it sent one
//	├── attempt, transfer                  one try at one target, until its answer
//	│   └── prepare                        the HTTP request to the platform's API
//	├── ringing                            from the first 180 or 183 to the answer or the end
//	└── answered                           from the answer to the end
//
// Decisions:
//
//   - A call's spans are made from its record after its end, so they cost a live call nothing. Their ids follow from
//     the call's id (internal/tracecontext), so the platform's and the callee's spans find them as parents
//     (TestSpansOfACall; TestTraces in e2e).
//   - A collector that is away or slow, or refuses, does not delay calls: calls wait in a bounded queue, one
//     goroutine sends
//     them, and calls that are too old or too many are dropped and counted (TestCollectorAway, TestCollectorSlow).
//   - Spans contain no people's numbers or names. The record has them, and its id is in the span.
package otlp
