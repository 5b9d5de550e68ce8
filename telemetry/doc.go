// Package telemetry provides the figures of a node to Prometheus: GET /metrics.
//
//	live.Observer (what is new of a call) ─▶ counters, histograms ─┐
//	Gauges (asked at a scrape)  ─▶ what is counted elsewhere ──────┴▶ registry ─▶ answers of at most a second ago
//
// Labels have few values: names in the configuration, and members of closed sets. Numbers, ids and texts from peers
// are never labels; a target that a REFER named is "other" (TestLabelsAreBounded).
//
// Histograms have classic buckets, for every Prometheus, and native ones, which Prometheus 3 reads if configured to.
//
// Frequent scrapes cost little: an answer is kept for a second, and only a few are sent at once (TestScrapes).
package telemetry
