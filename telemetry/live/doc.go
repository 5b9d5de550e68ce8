// Package live keeps the figures of the last five minutes for operators: rates, ratios, percentiles, and each target's
// health.
//
//	Changed, Ended (the records of calls) ─▶ what is new of the call ─▶ windows ─▶ Stats, Targets
//	                                                    └─▶ Observer (the counters of /metrics)
//
// A window is a ring of histograms of 15 s each, and their sum. So its memory is constant for any number of calls, and
// figures are read without going through records. A live call has one small entry.
//
// An attempt is counted when it ends, and not when its call ends, so that a failing target shows at once.
//
// One lock guards everything. It is held for a few microseconds, so a call that reports its state does not wait
// (BenchmarkWatcher). Observers are called without the lock.
package live
