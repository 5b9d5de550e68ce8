// Package httpd is what all HTTP handlers of Flowbridge share: bounded bodies, bounded numbers of requests, answers in
// JSON, the comparison of secrets, and logs that unauthenticated requests can't fill.
//
// Where a listener bounds its unproven connections (Connections), the oldest of all gives way, and not one of the source
// that has the most. An operator proves itself with its first request, so the oldest is most likely a stranger's, and
// strangers with many addresses can't keep a new connection out.
package httpd
