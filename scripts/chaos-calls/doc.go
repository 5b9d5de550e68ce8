// Command chaos-calls is what scripts/chaos runs: Flowbridge carries calls of every kind while everything around it,
// and the process itself, fails. At the end it is judged what became of each call.
//
//	chaos-calls -flowbridge BINARY [flags] MINUTES [SEED]
//
// The faults are drawn by the seed, and come one after the other. The carrier and the targets
// are user agents that do as RFC 3261 says: repeats, timers, 481 to what they do not know. What they were told is
// what is judged.
//
//	chaos-calls takeover -flowbridge BINARY -lab scripts/takeover-lab [flags] [CASE…]
//
// is what scripts/bench takeover runs: the same calls through nodes of which one has the seat, and dies, is cut off or
// gives it away. What machines there are is in scripts/takeover-lab.
//
// It mounts file systems and makes networks, and so wants to be the first process of its own namespaces (unshare(1)).
package main
