// Package explain implements `flowbridge explain`, which shows what Flowbridge would do with a call and what it would
// send. It uses the functions that real calls go through, and sends nothing.
package explain
