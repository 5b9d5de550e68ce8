// Package live keeps what an operator asks of the last five minutes: rates, ratios, percentiles, and each target's
// health.
//
//	Changed, Ended (the records of calls) ─▶ what is new of the call ─▶ windows ─▶ Stats, Targets
//	                                                    └─▶ Observer (the counters of /metrics)
//
// A window is a ring of histograms of 15 s each, and their sum. So its memory is constant for any number of
// calls, and a figure is read without going through records. A call that is live has one small entry.
//
// An attempt counts when it is over and not when its call is, so that a target that fails shows at once.
//
// One lock guards everything. It is held for a few microseconds: a call that tells of itself does not wait
// (BenchmarkWatcher). Observers are called outside of it.
package live
