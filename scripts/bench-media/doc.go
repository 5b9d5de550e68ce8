// Command bench-media is run by scripts/bench media, survive and held: it loads relays with RTP, one after the other.
//
//	bench-media run -flowbridge BINARY [-rounds N] [-seconds N] [-systems LIST] [-json FILE] CALLS...
//	bench-media forwarding ...     the cost of a packet that the kernel relays, beside one that it forwards
//	bench-media survive ...        kills Flowbridge while it relays, and restarts it
//	bench-media upgrade ...        replaces Flowbridge by flowbridge upgrade while it relays
//	bench-media held ...           calls with one packet a second: memory and open files
//
// Carriers, relay and agents each have a network namespace, linked by veth pairs (network), so it takes root. A
// generator plays both ends of all calls from two sockets, one on the carriers' side and one on the agents': 50 packets
// of 172 bytes a second each way, which carry their call, number and time. It sends and reads in batches every half a
// millisecond, and the kernel timestamps packets on arrival. So it never waits at a socket, and its own cost stays
// small and constant with any system. That cost is measured over a direct link, in turns with each system, because the
// speed of shared processors varies.
//
// The systems take turns, each freshly started for each round in a separate network.
package main
