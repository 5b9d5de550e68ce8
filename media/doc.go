// Package media relays RTP and RTCP between the two sides of a call. It is
// handed addresses and ports; it knows nothing of SIP or SDP.
//
//	          side A (carrier)                        side B (agent)
//	        +------------------+    flow A->B     +------------------+
//	RTP  -->| even port  latch |----------------->| even port        |--> RTP
//	        |                  |<-----------------|  latch           |
//	        +------------------+    flow B->A     +------------------+
//	RTCP -->| odd port   latch |----------------->| odd port         |--> RTCP
//	        +------------------+                  +------------------+
//
// Words: an [Engine] owns the port range and the workers. A [Session] is one
// call's media: two sides, a pair of ports each. A [Flow] is one direction of
// RTP or RTCP with everything needed to forward a packet: exact source, exact
// destination, [Rewrite]. A [Path] carries flows; the worker is the userspace
// path. A latch decides which source a side's packets are believed from. A
// listener makes digits of a side's telephone-events, a dialer puts digits into
// the stream towards one, a mask keeps a side's keys from everybody, a tap is shown
// what the sides send, for a recording. All need to see packets, so their session's
// RTP is the userspace path's. An alias is what a rewrite makes of a stream: RTCP
// about the one becomes RTCP about the other. A side may be secured: an opener takes
// SRTP off what comes from it, before anything else looks at it, and a sealer
// protects what goes to it, after everything else has written to it. An outlet makes
// one stream of all that a side is sent, a player puts sounds into it.
//
// Ownership. A session belongs to one worker, a goroutine with an epoll
// instance of its own, which it waits at with its thread. Sockets,
// latches, flows and stream state are touched by that goroutine only: it adds
// the sockets to epoll and it closes them, before it deals with a batch of
// events. An event of a socket that was closed a moment ago then meets nothing,
// or a socket that has its number now and nothing to read. Everybody else talks
// to it by commands, and waits for the answer where one is needed.
// Counters are atomics:
// written by the worker, read by anyone. Locks exist in the port pool and in
// the engine's registry, nowhere else.
//
// On the packet's way there is no lock, no channel, no log, no allocation and
// no clock reading; the clock is read once per epoll wake-up.
package media
