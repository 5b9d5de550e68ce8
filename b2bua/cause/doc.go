// Package cause has the reasons why calls end: the closed set of causes that records,
// logs and docs/causes.md share, the causes that SIP statuses stand for, and the Reason
// header with Q.850 values (RFC 3326).
//
// # Decisions
//
// The set of causes is closed, and causes.yaml explains each of them, so that a record
// never holds a word without an explanation. Held by TestCausesIsComplete. docs/causes.md
// and the texts of the admin page are made of that table.
//
// The text of a Reason header is never the peer's: a peer must not write into the other
// side's logs. Held by the tests of reason_test.go.
package cause
