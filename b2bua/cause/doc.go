// Package cause holds the reasons why calls end: the closed set of causes that records, logs and
// docs/causes.md share, the causes for SIP statuses, and the Reason header with Q.850 values (RFC
// 3326).
//
// # Decisions
//
// The set of causes is closed, and causes.yaml explains each of them, so that a record never
// contains a word without an explanation. TestCausesIsComplete checks this. docs/causes.md and the
// texts of the admin page are generated from causes.yaml.
//
// The text of a Reason header never comes from the peer, because a peer must not write into the
// other side's logs. The tests in reason_test.go check this.
package cause
