// Package media relays RTP and RTCP between the two sides of a call. It works with addresses and ports and knows
// nothing of SIP or SDP.
//
//	          side A (carrier)                        side B (agent)
//	        +------------------+    flow A->B     +------------------+
//	RTP  -->| even port  latch |----------------->| even port        |--> RTP
//	        |                  |<-----------------|  latch           |
//	        +------------------+    flow B->A     +------------------+
//	RTCP -->| odd port   latch |----------------->| odd port         |--> RTCP
//	        +------------------+                  +------------------+
//
// # Words
//
//   - [Engine]: owns the port range and the workers.
//   - [Session]: the media of one call: two sides with a pair of ports each.
//   - flow: one direction of RTP or RTCP, with everything needed to forward a packet.
//   - path: carries flows. The worker is the userspace path. A flow given to the kernel is offloaded.
//   - steered: a session without sockets of its own; its ports lead to sockets that sessions share.
//   - latch: decides which source a side's packets are accepted from.
//   - stage: filters or replaces the packets that a side sends (package stage).
//   - opener: removes SRTP. sealer: adds SRTP.
//   - outlet: merges everything that a side is sent into one stream (package stream).
//   - alias: the rewritten identity of a stream. RTCP about the original is rewritten to refer to the alias.
//
// # Ownership
//
// A session belongs to one worker: a goroutine with its own thread and epoll instance. Only that goroutine reads
// sockets. A session's latches, flows and stream state belong to the goroutine that has the session's turn: the worker
// or, for a moment, another goroutine that reads kernel counters or takes flows back. The worker opens and closes only
// the sockets of steered sessions. Other sockets are opened and closed by the goroutine that creates a session, or by a
// background goroutine. The worker lets go of a socket before it is closed.
//
// Other goroutines send the worker commands. It checks for them whenever it wakes up, before it handles packets, so a
// command sent before a packet arrived is carried out before that packet. It is woken only for things that must happen
// without a packet. The sender of a command first takes offloaded flows back, so that the worker sees the packets after
// it. Few callers wait for an answer. The worker takes the session's turn for each packet and command, with one atomic
// operation. Close takes the last turn, so it can read the final figures itself.
//
// Counters are atomic: the worker writes them, every goroutine may read them. Only the port pool, the engine's registry
// and each session's sockets have locks. The packet path has no contended lock, no channel and no log, and allocates
// only state at the first packet. The worker reads the clock once per epoll wake-up.
//
// # Decisions
//
// A source of RTP must prove itself: see package latch. RTCP follows the side's RTP and has no influence on it. Test:
// TestPartyJudgesReports.
//
// A side that may not exist is sent one second of media. The bound is in bytes, so that early media starts at once and
// has no gap if the side is confirmed in time. Only the address counts, not the port, as in the latch. Sounds and
// digits keep their pace while they are withheld. Every packet leaves through one function, which checks the bound.
// Tests: TestUnconfirmedSideGetsOneSecond, TestUnconfirmedSideHearsOneSecondOfSound.
//
// A side is sent one stream. The first source passes unchanged. A source that comes later, or after our own packets, is
// shifted to continue the stream. Receivers need no special support for digits, ringing and transfers, and a path needs
// to know only a flow's rewrite. RTCP is rewritten to match. Tests: TestOneStreamOfAnything, TestReportsOfASide.
//
// Each side is secured separately. SRTP is removed before anything else sees a packet and added after everything else
// has changed it, so nothing in between knows about it. A library encrypts; this package chooses the packet numbers. A
// window of the numbers sent under a key keeps a number from being used twice, whatever the relayed stream does. A
// window of received numbers detects replays. A source that restarts with lower numbers is renumbered. Tests:
// TestNumbersAreUsedOnce, TestReplaysAndForgeries, TestReportsOfRenumberedPackets.
//
// Masked keys stop at the socket. The mask is applied before the tap and the listener, and also to late and repeated
// packets. If keys can't be told from speech, all speech is muted. Tests: TestMask, TestMaskWithoutEvents.
//
// What a side says while the other side must hear something else first is held back, and heard afterwards whole. The
// delay ends in the side's first pause, because what is held back has its pauses shortened. The recording has it when
// it came. A state says that it is held back, so that it is also held back after a kill. Tests: TestHoldBack,
// TestHoldBackDuringASound, TestHoldBackInTwoLives, FuzzHoldBack in package stage.
//
// What is said of a sound that was played is what left the socket, and never more. Tests: TestSent,
// TestSentThroughOpus in package stage.
//
// Sockets outlive calls. A pair of ports keeps its sockets, bound and watched, and rests for 2 s, the time for which a
// latch refuses a former peer. Packets that arrive while it rests are read and dropped, as are packets still waiting
// when the next call starts. So a call opens and closes no socket. The pool keeps as many pairs as the recent peak
// needed, resting pairs included. Every 10 s, a quarter of the pairs that were not needed is closed. Resting pairs take
// at most a quarter of the process's descriptors. If there is no other port or no descriptor left, a pair is leased
// before its rest is over. Tests: TestPairsRest, TestRestFollowsNeed, TestLatePacketOfTheCallBefore,
// TestLatePacketsAreDropped.
//
// RTCP sockets exist only where there is RTCP. A peer that sends reports sends one every 8 s or less (RFC 3550 §6.2,
// §6.3.1), and one may be lost. So an RTCP socket is closed if nothing was accepted from it for 20 s after the answer.
// One side's reports keep both sides' sockets, because they leave by the other side's. A new description reopens the
// socket. The call keeps the port, but another program could bind it; then the call continues without RTCP. A peer that
// starts later gets an ICMP error, as it would from an endpoint without RTCP. A side that agreed on RTCP on its RTP
// port (RFC 5761) needs no socket. The RTCP of a steered session uses shared sockets. Tests:
// TestRTCPSocketsCloseAndReopen, TestMuxedSideHasNoRTCPSocket.
//
// The kernel relays packets that need no decision. It learns nothing from packets: the worker tells it one source, one
// SSRC, one destination, and what to change. All other packets go up to the latch, except that only as many of a
// stranger's packets go up as the latch needs. A flow's state is in one place at a time: it goes to the kernel and
// comes back, losses and jitter included, so that no figure depends on where a packet was relayed. RTCP always goes up,
// because call records use it. A flow is offloaded with a packet that was just relayed, when nothing waits behind it,
// so that no packet is overtaken. Tests: TestMovesInMidCall, TestRecordingOfOffloadedFlow, TestFiguresOnTheKernelPath,
// and all others on that path.
//
// A call in the kernel has no sockets. 20 s after its flows were offloaded, its ports are steered to two sockets that
// all such calls share. A shorter call opens and closes no socket. If media's sockets take half of the process's
// descriptors, the ports are steered at once. The RTCP that the session itself sends leaves from a socket opened for
// that packet: five system calls, a few times a minute. The first command to the session reopens its sockets. Tests:
// TestSteeredSession, TestSteeredSessionWakes, TestSteeredSessionCloses, TestSteersAtOnceWhereDescriptorsAreScarce.
//
// A session outlives its process. Another process continues it from a state: plain data that the session's owner keeps,
// with the latest settings, latches, rewrites, counts and keys. The owner takes the state when it sets something, and
// on EventChanged, never per packet. A locked source stays locked, so that no stranger takes the call, and is relayed
// with the saved shift, so that the receiver hears no break. Losses in the gap are unknown, and not counted. Sounds and
// digits end: digits must not be dialled twice. Flows in the kernel stay there. They are newer than a saved state, so
// they override it. Tests: TestResume, TestResumeFromKernel, FuzzResume.
//
// No SRTP packet number is used twice, whenever the process is killed. A killed process can't say which numbers it
// used. So a state reserves the next numbers, and the next process starts above them: a gap of at most 40 s of packets,
// which a receiver takes for loss. Nothing is sent beyond the reserved numbers, and after a resumption nothing is sent
// before a state is taken. So the state must be written to disk at once. Until it is, numbers could be reused if a
// second process were killed before a new state is on disk. All numbers below the next received packet count as
// received. Tests: TestNumbersAreUsedOnceInAllLives, TestReplaysInTheNextLife.
//
// An upgrade hands sessions over with their sockets. From the moment the state is taken, which makes it exact, until
// the new engine starts reading, packets wait in the sockets unread. So no packet is lost or relayed twice, and either
// engine can continue. Test: TestHandOver.
//
// A quiet session is small: 2.4 KB. State for RTP is allocated with the first packet, and rarely used state when it is
// needed. Test: TestQuietSessionIsSmall.
//
// The worker blocks its thread without telling the runtime, which gets one more processor in return. The runtime's
// poller would add a tenth to the cost of a packet. A system call that the runtime knows of keeps its monitor awake,
// which cost a fifth of the process's time at 100 calls a second. Tests: TestWaitingWorkerIsNoBurden,
// TestWorkerRestsBetweenSessions.
package media
