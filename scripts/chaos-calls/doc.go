// Command chaos-calls is run by scripts/chaos: Flowbridge carries calls of every kind while everything around it
// fails, and the process itself fails, too. At the end the outcome of each call is judged.
//
//	chaos-calls -flowbridge BINARY [flags] MINUTES [SEED]
//
// The faults are chosen at random from the seed, and happen one after the other. The carrier and the targets are user
// agents that follow RFC 3261: repeats, timers, 481 for unknown dialogs. The calls are judged by the messages that
// they received.
//
//	chaos-calls takeover -flowbridge BINARY -lab scripts/takeover-lab [flags] [CASE…]
//
// is run by scripts/bench takeover: the same calls pass through several nodes. One of them has the seat, and dies, is
// cut off, or gives the seat away. scripts/takeover-lab describes the machines.
//
// It mounts file systems and creates networks, and must be the first process of its own namespaces (unshare(1)).
package main
