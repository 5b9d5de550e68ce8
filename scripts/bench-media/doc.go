// Command bench-media is what scripts/bench media runs: it loads relays with
// RTP, one after the other, and says what each packet cost.
//
//	bench-media run -flowbridge BINARY [-rounds N] [-seconds N] [-systems LIST] [-json FILE] CALLS...
//	bench-media relay ADDRESS      the relay with a goroutine for each socket, controlled by standard input
//
// A generator plays both ends of all calls from two sockets, one of the
// carriers' side and one of the agents': 50 packets of 172 bytes a second each
// way, which carry their call, number and time. It sends and reads in batches
// every half a millisecond, and has the kernel note when packets came, so that
// nobody waits at a socket and its own cost stays small and the same whatever is
// in between. That cost is measured with nothing in between, "direct".
//
// The systems take turns, each freshly started for each round, all on loopback:
// nothing but root's larger receive buffers depends on who runs it.
package main
