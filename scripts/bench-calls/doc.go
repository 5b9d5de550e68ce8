// Command bench-calls is what scripts/bench signalling, overload, soak and outage run: it has Flowbridge, and
// what it is compared with, carry calls.
//
//	bench-calls signalling|overload|soak|outage -flowbridge BINARY [flags] [RATE...]
//
// One thread plays the carrier and the agent of all calls: user agents of package sip. Calls begin when they
// should, whatever has become of those before. Every half a millisecond it reads and sends what there is, in batches,
// and the kernel notes when datagrams came: its own cost stays small and the same whatever is in between, and the
// delays are not its own. `flowbridge simulate synthflow` plays the platform's HTTP API. With -cpus apart, what is
// measured has the last processor alone, and the load and the API have the others.
package main
