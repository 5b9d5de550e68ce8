// Package httpd has what all HTTP handlers of Flowbridge share: bounded bodies, bounded numbers of requests, answers in
// JSON, the comparison of secrets, bounded connections, and logs that unauthenticated requests can't fill.
package httpd
