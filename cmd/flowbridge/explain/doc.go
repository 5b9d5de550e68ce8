// Package explain implements `flowbridge explain`: what a call would do and send. It uses the functions that calls go
// through, and sends nothing.
package explain
