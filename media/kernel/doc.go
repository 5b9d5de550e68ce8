// Package kernel relays RTP in the kernel. A program at the ingress of each interface looks at every packet that comes
// in, rewrites those of known flows and sends them on. They take no system call, reach no socket, and are relayed also
// while no process is there.
//
//	           what a flow says, and its state                      what the routes say
//	                     |  ^                                               |
//	              Put, Remove                                           watcher
//	                     v  |                                               v
//	in ---> relay ---> flows, states ---> addresses, checksums, RTP header, TTL ---> next hop, or a socket here
//	          |
//	          +---> up: not a packet of a flow ---> routing, firewall, sockets (steer)
//
// It knows nothing of sessions: media decides who is latched and what is rewritten, and the program compares with that.
//
// # Words
//
//   - [Flow]: one direction of one kind of packet, known by our address and port that it comes to.
//   - [State]: what is counted and known of a flow's stream.
//   - up: a packet goes on to the sockets as if the program were not there.
//   - outlet: how packets leave to an address: interface, next hop, MTU.
//   - unfit: a flow that the program can't carry. A socket can.
//   - adopted: a flow that an earlier process has left.
//
// # What the program does with a packet
//
// Up goes, uncounted: what is not IPv4 or IPv6 with UDP to a flow's address; fragments, IPv4 options, IPv6 extension
// headers, a TTL of 1, tagged and joined (GRO) frames, frames for other machines, IPv6 without a checksum; from the
// flow's source: what is not well-formed RTP of version 2 (RFC 3550 §5.1), or may be RTCP (RFC 5761 §4), payload types
// of Flow.Up, and what is longer than the MTU or 1500 bytes. Packets of other sources, and of other SSRCs of the
// source, go up where media's latch may learn from them. While the flow is heard (2 s, or 50 ms for the SSRC) one of
// other sources goes up in a second and 16 of other SSRCs; while it is silent, 1000. Others are dropped and counted.
//
// A packet of the flow is counted, under the lock of its state, if the flow has not been removed meanwhile. Then its
// addresses, ports, TTL, DSCP and RTP header are rewritten, and the checksums by what has changed (RFC 1624), so that
// what a sender got wrong stays wrong. It leaves by the flow's outlet, which resolves the neighbour. If source and
// destination are both on this machine, it goes on to the destination's socket. The program forwards nothing else.
//
// # Who speaks when
//
// Of a flow that Listens, a packet of the flow is also judged by the detector of media/voice, written once more in C:
// the levels of its payload are found before the lock is taken, and the detector's fields are in the flow's state.
// Finished segments are kept there, the last seven, until the process reads them once a second. So a process that is
// killed costs nothing of them. Levels are read at a place that is computed, which takes CAP_PERFMON. Without it, or
// where an older verifier gives up, the program is loaded without that part (listens), and Listens says so. A packet
// takes 10 to 20 ns more (docs/benchmarks.md). Tests: TestHearsAsTheWorker, TestStateIsFigures, BenchmarkListening.
//
// The program is written once more in model_linux_test.go, in Go. Random packets are judged by both.
// Tests: TestProgramIsItsModel, TestCountsAsTheModel, FuzzProgram.
//
// # Maps
//
//   - flows: hash of our address and port. IPv4 is ::ffff:a.b.c.d. The value is where in states the flow is. Memory of
//     a hash may become another flow's while the program reads it, so the program believes nothing of it.
//   - states: array of slots: a spin lock, the figures, the speech, and the flow, which is what the program compares
//     with and writes. The program does both under the lock, so that a flow is whole, and of the address that the
//     packet came to. Not per processor: numbers and jitter need one state. An id that is never used twice says whose
//     slot it is; without it the program relays nothing. Slot 0 is for the test that Open makes.
//   - hints: the slot of the flow that was put last for an even port, in 16 bits. RTP's flow is looked for there first:
//     most of what a packet costs is waiting for memory, that of a hash is scattered, and hints are so dense that they
//     stay in the cache. A slot that is not the flow's, as for RTCP, or whose flow has ended, is found out, and then
//     the hash decides. So hints need no pin, and are taken back only of a flow that is unfit and has not ended.
//   - steered, sockets: addresses without a socket, and what they are steered to, so many packets in a second; they end
//     with the process.
//
// take and change are programs for this process, run by BPF_PROG_TEST_RUN: take ends a flow and gives its state back at
// one moment, so that no packet is between, and change replaces a flow. Tests: TestHandedOver, TestPlaceOfAnotherFlow,
// TestHints, TestSteers, TestSteersSoMany.
//
// # Pins and upgrades
//
// With Options.Dir, the maps flows and states and the links are pinned in a directory v<layout>-<capacity> below it,
// and outlive the process, also one that is killed. The next one of that layout and capacity opens the maps, has the
// links run its program (at once: no packet is between), and carries the flows on. It knows no call for them, so it
// removes each once it and the flow back are silent for Options.Timeout, and after Options.MaxAge whoever still sends.
// Until then Uses says that a port is taken. A start that fails ends nothing of what it found, and Close ends the flows
// of its own process alone: while there are others, what is pinned stays for the next one.
//
// Who changes struct key, place, flow, figures, speech or state counts layout up. Such a process, or one with another
// capacity, can't take flows over: it opens its own maps beside the others, whose program stays attached and carries
// its flows until all calls are restored (DismissAll). Then RTP of these calls takes the way through the process.
// Both programs let go up what they do not know. One process has the directory at a time. With clsact, filters have
// the directory's name, and the rest is the same.
//
// What lies in directories that no process has, of an instance that has another first address or port now, or relays in
// userspace, ends at the same moment (RemoveLeftovers). So does what a killed process of an earlier version has left in
// the directory of that (OldDir). Tests: TestLeftovers, TestOldDir.
//
// A process that must not be heard any more, because another machine has its calls, ends all of that at once
// (Silence): it waits for nobody, and leaves nothing. Tests: TestSilence, TestSilenceBegins, TestSilenceWithoutPins.
//
// Who knows the call of an adopted flow looks at it (Inherited) and makes it a flow of this process where it is
// (Adopt). When all calls have been restored, DismissAll ends the others. Counts are those of the whole call, so what
// was relayed while nobody was there is in the record.
//
// A process that replaces a running one opens with the directory of that (Heir): its program takes over at once, with
// the same maps, and the flows stay those of the other process until Inherit. If it ends before, the other one goes on.
// Tests: TestHeir, TestHeirOfAnotherDirectory, TestHeirOfAnotherCapacity, TestOutlivesItsProcess, TestOtherLayout,
// TestLayoutHasItsNumber, TestFailedStartEndsNothing, TestCloseEndsItsOwn, TestAdoptedFlowGetsTooOld, TestLeftovers.
//
// # Interfaces and routes
//
// The program is attached to lo and every Ethernet that is up and belongs to no bridge, bond or VRF, also to those that
// come later. A watcher hears of interfaces, addresses and routes, and has each flow leave as they are now. A flow that
// is not fit any more goes up at once, and Flow.Lost says so: nothing is sent where nobody is. Unfit are: another IP
// version on the other side, one of source and destination on this machine, no Ethernet on the way out, routes that
// wrap packets, and all flows where IPsec policies are in force, which the program would go round, or may be: only a
// kernel that says so has no IPsec. They are looked for once a second.
//
// The program is before nftables: rules for media's ports, NAT and accounting do not see what is relayed.
// Nobody waits for the kernel's answers about routes: Put says ErrUnknown until Look has looked, each flow has a lock
// of its own, and Relay.mu is held for moments without a system call. Tests: TestNobodyWaitsForRoutes, TestRouteIsGone,
// TestRouteMoves, TestInterfacesComeAndGo, TestUnfitFlows, TestIPsec, TestIPsecIsFound.
//
// # Kernels and rights
//
// tcx needs Linux 6.6. Before that the program is a clsact filter, which needs Options.Dir, because nothing else
// removes it after a crash. 5.10 is the oldest by what the program calls: bpf_redirect_neigh takes the next hop since
// then, and sk_lookup programs came with 5.9. All tests have passed on 6.18, and on 6.1 those of a program without
// hints. The program has no function, and no loop but that of a packet's three blocks, that the verifier would have
// to follow: it takes 12,000 steps of the 1,000,000 that are allowed, 49,000 where it listens, and some times as many
// without CAP_PERFMON. The object is for little-endian processors; on others, and on other systems, Open says that it
// is not supported.
//
// CAP_BPF and CAP_NET_ADMIN suffice, and a directory of the process's own in a mounted BPF file system; before 5.11
// also an unlimited RLIMIT_MEMLOCK. What the verifier asks of a process without CAP_PERFMON is why the program chooses
// between numbers and not addresses, has the lock first in a state, and writes whole words to the stack. Without it the
// verifier also adds barriers against speculation, and a packet takes twice as long: Path says so. Tests:
// TestWithoutRoot, TestOldKernelNeedsADirectory; those of clsact have a kernel that does not know tcx.
package kernel
