// Package explain is `flowbridge explain`: what a call would do and send. It asks the functions that calls go through,
// and sends nothing.
package explain
