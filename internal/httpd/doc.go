// Package httpd is what our HTTP handlers and servers have in common: bodies
// that are bounded, answers in JSON, secrets that are compared, and logs that
// strangers cannot fill.
package httpd
