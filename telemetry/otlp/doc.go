// Package otlp sends the traces of calls to an OpenTelemetry collector, by OTLP over HTTP.
//
//	call                                   from the INVITE to the end; the caller's span is its parent, if it sent one
//	├── attempt, transfer                  one try at one target, until its answer
//	│   └── prepare                        the HTTP request to the platform's API
//	├── ringing                            from the first 180 or 183 to the answer or the end
//	└── answered                           from the answer to the end
//
// Decisions:
//
//   - A call's spans are made of its record when it has ended, so a live call pays nothing for them. Their ids follow
//     from the call's id (internal/tracecontext), so the platform's and the callee's spans find them as parents
//     (TestSpansOfACall; TestTraces in e2e).
//   - A collector that is away, slow or refuses delays no call: calls wait in a bounded queue, one goroutine sends
//     them, what is too old or too much is dropped and counted (TestCollectorAway, TestCollectorSlow).
//   - Numbers and names of people are in no span. The record has them, and its id is in the span.
package otlp
