// Package calltest has tests of whole calls through the server, over a network in memory and on the clock of a bubble. It uses
// only what b2bua exports. It has no other code.
//
// A world (harness_test.go) is a server with a carrier and two agents, which a test plays message by message. When the test is
// over, nothing may be left: no call, leg, port, transaction or goroutine.
package calltest
