// Package kernel relays RTP in the kernel. A program at the ingress of each interface examines every incoming packet,
// rewrites packets of known flows and sends them on. These packets cost no system call, reach no socket, and are
// relayed even while no process is running.
//
//	          what a flow says, and its state                      what the routes say
//	                     |  ^                                               |
//	              Put, Remove                                           watcher
//	                     v  |                                               v
//	in ---> relay ---> flows, states ---> addresses, checksums, RTP header, TTL ---> next hop, or a socket here
//	          |
//	          +---> up: not a packet of a flow ---> routing, firewall, sockets (steer)
//
// This package knows nothing of sessions: media decides which source is latched and what is rewritten, and the program
// compares packets with that decision.
//
// # Words
//
//   - [Flow]: one direction of one kind of packet, identified by our address and port where it arrives.
//   - [State]: the counts and the state of a flow's stream.
//   - up: a packet goes up if it continues to the sockets as if the program were not there.
//   - outlet: how packets leave to an address: interface, next hop, MTU.
//   - unfit: a flow that the program can't carry. It needs a socket.
//   - adopted: a flow left by an earlier process.
//
// # What the program does with a packet
//
// These packets go up, uncounted: anything but IPv4 or IPv6 with UDP to a flow's address; fragments, IPv4 options, IPv6
// extension headers, a TTL of 1, tagged and joined (GRO) frames, frames for other machines, IPv6 without a checksum;
// from the flow's source: anything that is not well-formed RTP of version 2 (RFC 3550 §5.1), or may be RTCP (RFC 5761
// §4), payload types in Flow.Up, and packets longer than the MTU or 1500 bytes. Packets of other sources, and of other
// SSRCs of the source, go up if media's latch may learn from them. While the flow is heard (2 s, or 50 ms for the
// SSRC), 1 per second of other sources and 16 of other SSRCs go up; while it is silent, 1000. The rest are dropped and
// counted.
//
// A packet of the flow is counted under the lock of the flow's state, unless the flow has just been removed. Then the
// packet's addresses, ports, TTL, DSCP and RTP header are rewritten, and the checksums are adjusted by the changes (RFC
// 1624), so that a sender's wrong checksum stays wrong. The packet leaves by the flow's outlet, which resolves the
// neighbour. If source and destination are both on this machine, it continues to the destination's socket. The program
// forwards nothing else.
//
// # Detecting speech
//
// If a flow has Listen set, its packets are also judged by the detector of media/voice, implemented a second time in C:
// the levels of the payload are computed before the lock is taken, and the detector's fields are in the flow's state.
// The last seven finished segments are kept there, and the process reads them once a second. So none are lost if the
// process is killed. Levels are read at a computed offset, which takes CAP_PERFMON. Without it, or if an older verifier
// gives up, the program is loaded without that part (listens), and Listens says so. A packet takes 10 to 20 ns more
// (docs/benchmarks.md). Tests: TestHearsAsTheWorker, TestStateIsFigures, BenchmarkListening.
//
// A test model of the program, written in Go, is in model_linux_test.go. The tests compare both on random packets.
// Tests: TestProgramIsItsModel, TestCountsAsTheModel, FuzzProgram.
//
// # Maps
//
//   - flows: hash of our address and port. IPv4 is ::ffff:a.b.c.d. The value is the flow's slot in states. Memory of a
//     hash may become another flow's while the program reads it, so the program trusts nothing in it.
//   - states: array of slots: a spin lock, the figures, the speech, and the flow, which the program compares with and
//     writes from. The program does both under the lock, so that the flow is whole and belongs to the address the
//     packet was sent to. Not per processor: numbers and jitter need one state. An id that is never reused says whose
//     slot it is; without it the program relays nothing. Slot 0 is for the test that Open makes.
//   - hints: the slot of the latest flow for an even port, in 16 bits. RTP's flow is looked for there first: most of a
//     packet's cost is waiting for memory, a hash is scattered, and hints are so dense that they stay in the cache. The
//     program notices a slot that is not the flow's, as for RTCP, or whose flow has ended, and then uses the hash. So
//     hints need no pin, and are taken back only from a flow that is unfit and has not ended.
//   - steered, sockets: addresses without a socket, the socket each is steered to, and the limit of packets per second;
//     they end with the process.
//
// take and change are programs for this process, run by BPF_PROG_TEST_RUN: take ends a flow and returns its state
// atomically, so that no packet comes in between, and change replaces a flow. Tests: TestHandedOver,
// TestPlaceOfAnotherFlow, TestHints, TestSteers, TestSteersSoMany.
//
// # Pins and upgrades
//
// With Options.Dir, the maps flows and states and the links are pinned in a directory v<layout>-<capacity> below it,
// and outlive the process, even one that is killed. The next process with that layout and capacity opens the maps,
// makes the links run its program (atomically: no packet is missed), and continues the flows. It does not know their
// calls yet. So it removes a flow once that flow and its opposite have been silent for Options.Timeout, and after
// Options.MaxAge even if packets still come. Until then Uses says that a port is taken. A failed start ends none of the
// flows it found. Close ends only the flows of its own process; while there are other flows, the pins stay for the next
// process.
//
// A change of struct key, place, flow, figures, speech or state must increment layout. A process with another layout or
// capacity can't take flows over: it opens its own maps beside the old ones. The old program stays attached and carries
// its flows until all calls are restored (DismissAll). From then on, the RTP of these calls passes through the process.
// Both programs let unknown packets go up. One process holds the directory at a time. With clsact, the filters are
// named after the directory; everything else is the same.
//
// A directory may remain without a process if an instance's first address or port has changed, or if the instance now
// relays in userspace. The flows there end at the same moment (RemoveLeftovers). So do flows that a killed process of
// an earlier version left in its directory (OldDir). Tests: TestLeftovers, TestOldDir.
//
// A process whose calls have moved to another machine must stop sending. Silence ends all flows and removes the
// program, the pins and the directory. It does not wait for other users of the relay. Tests: TestSilence,
// TestSilenceBegins, TestSilenceWithoutPins.
//
// The owner of an adopted flow's call reads the flow (Inherited) and takes it over in place (Adopt). When all calls
// have been restored, DismissAll ends the flows that are left. Counts cover the whole call, so the call record includes
// packets that were relayed while no process was running.
//
// A process that replaces a running one opens with the old one's directory (Heir): its program takes over at once, with
// the same maps, and the flows stay with the old process until Inherit. If the new process ends before that, the old
// one continues. Tests: TestHeir, TestHeirOfAnotherDirectory, TestHeirOfAnotherCapacity, TestOutlivesItsProcess,
// TestOtherLayout, TestLayoutHasItsNumber, TestFailedStartEndsNothing, TestCloseEndsItsOwn, TestAdoptedFlowGetsTooOld,
// TestLeftovers.
//
// # Interfaces and routes
//
// The program is attached to lo and every Ethernet interface that is up and belongs to no bridge, bond or VRF,
// including later ones. A watcher follows changes of interfaces, addresses and routes, and updates how each flow
// leaves. When a flow becomes unfit, its packets go up at once, and Flow.Lost reports it, so that no packet is sent
// into the void. A flow is unfit if the other side has another IP version, if either its source or its destination is
// on this machine, if there is no Ethernet on the way out, or if its route encapsulates packets. All flows are unfit if
// IPsec policies are or may be in force, because the program would bypass them. Only a kernel that reports that it has
// no IPsec is taken to have none. The watcher checks for policies once a second.
//
// The program runs before nftables: rules for media's ports, NAT and accounting do not see relayed packets. Media never
// waits for the kernel's answers about routes: Put returns ErrUnknown until Look has found the route, each flow has its
// own lock, and Relay.mu is held only briefly and never during a system call. Tests: TestNobodyWaitsForRoutes,
// TestRouteIsGone, TestRouteMoves, TestInterfacesComeAndGo, TestUnfitFlows, TestIPsec, TestIPsecIsFound.
//
// # Kernels and rights
//
// tcx needs Linux 6.6. Before that the program is a clsact filter, which needs Options.Dir, because after a crash
// nothing else removes it. Judging by the calls the program makes, 5.10 is the oldest possible kernel: from that
// version bpf_redirect_neigh accepts a next hop, and sk_lookup programs came with 5.9. All tests have passed on 6.18;
// on 6.1, the tests of a program without hints have passed. The program has no function, and no loop except over a
// packet's three blocks, that the verifier would have to follow: verifying it takes 9,000 of the 1,000,000 steps
// allowed, 21,000 with the part that listens, and several times as many without CAP_PERFMON. The object is for
// little-endian processors; on others, and on other systems, Open reports that it is not supported.
//
// CAP_BPF and CAP_NET_ADMIN suffice, with a directory of the process's own in a mounted BPF file system; before 5.11 an
// unlimited RLIMIT_MEMLOCK is also needed. To satisfy the verifier without CAP_PERFMON, the program chooses between
// numbers rather than addresses, has the lock first in a state, and writes whole words to the stack. Without
// CAP_PERFMON the verifier also adds barriers against speculation, and a packet takes twice as long; Path says so.
// Tests: TestWithoutRoot, TestOldKernelNeedsADirectory; the tests of clsact use a kernel that does not know tcx.
package kernel
