// Command bench-media is what scripts/bench media, survive and held run: it loads
// relays with RTP, one after the other.
//
//	bench-media run -flowbridge BINARY [-rounds N] [-seconds N] [-systems LIST] [-json FILE] CALLS...
//	bench-media forwarding ...     what a packet takes that the kernel relays, beside one that it forwards
//	bench-media survive ...        kills Flowbridge while it relays, and starts it again
//	bench-media upgrade ...        replaces Flowbridge by flowbridge upgrade while it relays
//	bench-media held ...           calls with one packet a second: memory and open files
//
// Carriers, relay and agents have a network namespace each, linked by veth pairs
// (network), so it takes root. A generator plays both ends of all calls from two
// sockets, one of the carriers' side and one of the agents': 50 packets of 172
// bytes a second each way, which carry their call, number and time. It sends and
// reads in batches every half a millisecond, and has the kernel note when packets
// came, so that it waits at no socket and its own cost stays small and the same
// whatever is in between. That cost is measured with one link and nothing else in
// between, in turns with each system, as processors of shared machines are not equally fast for long.
//
// The systems take turns, each freshly started for each round in a network of its
// own.
package main
