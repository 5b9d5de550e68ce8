// Package telemetry gives the figures of a node to Prometheus: GET /metrics.
//
//	live.Observer (what is new of a call) ─▶ counters, histograms ─┐
//	Gauges (asked at a scrape)  ─▶ what is counted elsewhere ──────┴▶ registry ─▶ answers of at most a second ago
//
// Labels are bounded: names of the configuration, and closed sets. No number, no id, nothing that a peer sends is a
// label; a target that a REFER named is "other" (TestLabelsAreBounded).
//
// Histograms have classic buckets, for every Prometheus, and native ones, which Prometheus 3 takes when it is told to.
//
// A scrape costs the same however often it comes: its answer is kept for a second, and only a few are sent at once
// (TestScrapes).
package telemetry
