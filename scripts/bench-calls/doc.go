// Command bench-calls is run by scripts/bench signalling, overload, soak and outage: it makes Flowbridge, and the
// systems compared with it, carry calls.
//
//	bench-calls signalling|overload|soak|outage -flowbridge BINARY [flags] [RATE...]
//
// One thread plays the carrier and the agent of all calls, with user agents of package sip. Calls start on schedule,
// whatever happened to earlier ones. Every half a millisecond the thread reads and sends in batches, and the kernel
// timestamps datagrams on arrival. So the cost of the thread stays small and constant with any system, and the delays
// do not include it. `flowbridge simulate synthflow` plays the platform's HTTP API. With -cpus apart, the measured
// system has the last processor to itself, and the load and the API have the others.
package main
