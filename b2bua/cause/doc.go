// Package cause says why a call ended: the closed set of causes that records,
// logs and docs/causes.md share, the causes that a SIP status stands for, and the
// Reason header with Q.850 values (RFC 3326).
package cause
