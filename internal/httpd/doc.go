// Package httpd holds the code that all HTTP handlers of Flowbridge share: limits for bodies, requests and connections,
// answers in JSON, the comparison of secrets, and logs that unauthenticated requests can't fill.
package httpd
