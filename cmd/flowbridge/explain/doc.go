// Package explain is `flowbridge explain`: what a call would do and send, found
// by the functions that calls go through, without sending anything.
package explain
