// Package media relays RTP and RTCP between the two sides of a call. It is
// given addresses and ports; it knows nothing of SIP or SDP.
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
//   - [Session]: the media of one call, two sides with a pair of ports each.
//   - flow: one direction of RTP or RTCP, with all that forwarding a packet needs.
//   - path: carries flows. The worker is the userspace path. A flow that it has given to the kernel is offloaded.
//   - steered: of a session without sockets, whose ports lead to sockets that sessions share.
//   - latch: decides which source a side's packets are accepted from.
//   - stage: stands in the way of what a side sends, or sends in its place (package stage).
//   - opener: removes SRTP. sealer: adds SRTP.
//   - outlet: makes one stream of everything that a side is sent (package stream).
//   - alias: what a rewrite makes of a stream. RTCP about the one becomes RTCP about the other.
//
// # Ownership
//
// A session belongs to one worker: a goroutine with its own thread and epoll
// instance. Only that goroutine reads sockets. Who has the session's turn touches
// its latches, flows and stream state: the worker, or for a moment another goroutine that
// reads or takes back what the kernel has. The worker opens and closes no socket but of
// steered sessions: that is done where a session is
// made, or in a goroutine that nobody waits for. What is closed was let go by
// the worker before.
//
// Other goroutines send the worker commands. It looks for them whenever it has
// woken, before it looks at packets, so a command that was sent before a packet
// came is carried out before it. It is woken only for what must happen without a
// packet. Who sends a command takes offloaded flows back first, so that the worker sees the packets after it.
// Few callers wait for an answer. The worker takes a turn at a session
// for each packet and command, with one atomic operation. Close takes the last
// turn, and so has the final figures without asking.
//
// Counters are atomic: the worker writes them, every goroutine may read them.
// There are locks in the port pool, in the engine's registry and around a
// session's sockets only. A packet's way has no lock that anybody waits for, no
// channel, no log, and no allocation but of state at the first packet. The
// worker reads the clock once per epoll wake-up.
//
// # Decisions
//
// A source of RTP proves itself: see package latch. RTCP follows the side's RTP
// and moves nothing else. Test: TestPartyJudgesReports.
//
// A side that may not be there is sent a second of media. The bound is in bytes, so that early media begins at once
// and has no gap where the side is confirmed in time. It is the address that counts, not the port, as in the latch.
// Sounds and digits go on unheard. Every packet leaves through one function, which looks at the bound.
// Tests: TestUnconfirmedSideGetsOneSecond, TestUnconfirmedSideHearsOneSecondOfSound.
//
// A side is sent one stream. The first source passes unchanged. A source that
// comes later, or after our own packets, is shifted to follow on. Receivers need
// no support for digits, ringing and transfers, and a flow's rewrite is all that
// a path has to know. RTCP is rewritten to fit.
// Tests: TestOneStreamOfAnything, TestReportsOfASide.
//
// Each side is secured by itself. SRTP is removed before anything else looks at
// a packet and added after everything else has changed it, so nothing between
// knows of it. A library encrypts; the packet numbers are decided here. A window
// of the numbers that were sent under a key keeps a number from being used
// twice, whatever the relayed stream does. A window of received numbers finds
// replays. A source that restarts with lower numbers is renumbered.
// Tests: TestNumbersAreUsedOnce, TestReplaysAndForgeries, TestReportsOfRenumberedPackets.
//
// Masked keys end at the socket. The mask works before the tap and the listener,
// and also on late and repeated packets. If keys can't be told from speech, all
// speech is muted.
// Tests: TestMask, TestMaskWithoutEvents.
//
// Sockets outlive calls. A pair of ports keeps its sockets, bound and watched, and rests for 2 s, as a latch refuses a
// former peer for 2 s. What comes meanwhile is read and dropped, and what waits when the next call begins, too. So a
// call opens and closes no socket. There are as many pairs as the recent peak needed with their rest. A quarter of what
// was not needed for 10 s is closed, again and again. What rests is a quarter of the process's descriptors at most. If
// there is neither another port nor a descriptor, a pair goes out unrested.
// Tests: TestPairsRest, TestRestFollowsNeed, TestLatePacketOfTheCallBefore, TestLatePacketsAreDropped.
//
// RTCP sockets are where RTCP is. A peer that sends reports does so within 8 s (RFC 3550 §6.2, §6.3.1: 5 s and a half,
// and once more for a lost one), so an RTCP socket is closed that nothing was accepted from for 20 s after the answer.
// One side's reports keep both sides' sockets, because they leave by the other one. A new description opens it again.
// The port stays the call's, but another program could bind it; then RTP goes on alone. A peer that begins later gets
// an ICMP error instead of its reports' way, as it would from an endpoint without RTCP. A side that agreed on RTCP on
// its RTP port (RFC 5761) needs no socket. A session that is steered has its RTCP in shared sockets. Tests:
// TestRTCPSocketsCloseAndReopen, TestMuxedSideHasNoRTCPSocket.
//
// The kernel relays what needs nobody. It never learns: it is told one source, one SSRC and one destination, and what
// to change. What else comes goes up to the latch, of strangers as much as the latch needs. A flow's state is in one
// place: it goes to the kernel and comes back, with losses, jitter and all, so that no figure depends on who relayed.
// RTCP goes up always, because records have what it says. A flow is offloaded with a packet that was just relayed, when
// nothing waits behind it, so that none is overtaken. Tests: TestMovesInMidCall, TestRecordingOfOffloadedFlow,
// TestFiguresOnTheKernelPath, and all others on that path.
//
// A call in the kernel has no sockets. Its ports are steered to two sockets that all share, 20 s after its flows were
// offloaded, so that short calls open and close none; at once where media has half of the descriptors that the process
// may have. What it sends itself, RTCP, leaves from a socket for that packet: five system calls, some times a minute.
// The first order to the session opens its sockets again. Tests: TestSteeredSession, TestSteeredSessionWakes,
// TestSteeredSessionCloses, TestSteersAtOnceWhereDescriptorsAreScarce.
//
// A session outlives its process. What another process needs to go on with it is plain data, which its owner keeps:
// settings as they were set last, latches, rewrites, counts, keys. The owner takes it when it sets something, and when
// EventChanged says so, never per packet. A source that is locked stays so, so that no stranger takes the call, and is
// relayed by the kept shift, so that the receiver hears no break. What was lost meanwhile is unknown, and not counted.
// Sounds and digits end: digits must not be dialled twice. Flows in the kernel stay there and are believed, because
// they are later than any state. Tests: TestResume, TestResumeFromKernel, FuzzResume.
//
// No number of SRTP is used twice, whenever a process is killed. It could not say which numbers it had used. So a state
// reserves the next ones, and the next process begins above them: at most 40 s of packets later, which a receiver takes
// for loss. Nothing is sent beyond what is reserved, and nothing after a resumption, before a state is taken. So the
// state must be on file at once: in the time until it is, numbers could be used again, if the process is killed just
// then for the second time since a state. Of what was received, all below the next packet counts as received. Tests:
// TestNumbersAreUsedOnceInAllLives, TestReplaysInTheNextLife.
//
// An upgrade hands sessions over with their sockets. Packets wait in them, and nobody reads, from when the state is
// taken, which is exact, until the next engine reads. So none is lost or comes twice, and either engine can be the one
// that goes on. Test: TestHandOver.
//
// A quiet session is small: 2.4 KB. What RTP needs is made with the first packet, what few calls need when they need
// it. Test: TestQuietSessionIsSmall.
//
// The worker waits with its thread, and does not tell the runtime. The runtime
// has one processor more for it. The runtime's poller would add a tenth to the
// cost of a packet. A system call that the runtime knows of keeps its monitor
// awake, which cost a fifth of the process's time at 100 calls a second.
// Tests: TestWaitingWorkerIsNoBurden, TestWorkerRestsBetweenSessions.
package media
