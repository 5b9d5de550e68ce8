// Command chaos-calls is run by scripts/chaos: Flowbridge carries calls of every kind while everything around it, and
// the process itself, fails. At the end the outcome of each call is judged.
//
//	chaos-calls -flowbridge BINARY [flags] MINUTES [SEED]
//
// The faults are drawn by the seed, and come one after the other. The carrier and the targets are user agents that
// follow RFC 3261: repeats, timers, 481 to unknown dialogs. They are judged by the messages they got.
//
//	chaos-calls takeover -flowbridge BINARY -lab scripts/takeover-lab [flags] [CASE…]
//
// is run by scripts/bench takeover: the same calls pass through nodes of which one has the seat, and dies, is cut off
// or gives it away. scripts/takeover-lab describes the machines.
//
// It mounts file systems and creates networks, and must be the first process of its own namespaces (unshare(1)).
package main
