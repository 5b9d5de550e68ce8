// Package b2bua is the back-to-back user agent: it answers a carrier's INVITE,
// calls a voice-AI platform for it, and keeps the two dialogs and the media
// between them together until one side hangs up.
//
// A message comes in by package transport: sockets and connections, the screen
// before the parser, transactions. Then receive.go hands it to its leg, or admits
// a new Call.
//
// A call is one goroutine at a time, Call.run, which owns its legs, the current attempt
// at a target, the media session and the record. Other goroutines post to its
// inbox, and posting never blocks. Where nothing is left to handle, the phase returns
// itself and the call has no goroutine: a post, a deadline or the server's stop gives it
// another turn, which goes on with that phase, mostly on the goroutine that has read the
// message (transport.Turns). A Leg is a machine without I/O:
//
//	Input ──▶ Leg.Step(now, input) ──▶ facts for the call
//	                               └─▶ effects for the wire ──▶ transactions
//
// The phases of a call, each a function over the closed sets of facts and events:
//
//	admitted ──▶ verifying ──▶ routing ──▶ preparing ◀──▶ dialing ──▶ bridged ──▶ end ──▶ linger
//	   │             │            │             │            │                     ▲
//	   └─────────────┴────────────┴─────────────┴────────────┴──── refused ────────┘
//
// A call is verified only where its trunk wants that.
//
// A transfer is an attempt beside the bridge: the call stays in bridged. What lies between the two legs is package
// bridge.
//
// In linger the record is written and the media closed. The legs finish what they
// owe their peers: the answer to a BYE, a cancelled INVITE's end, a late 200.
//
// Locks are in the registry, the admission counts, the inbox, the replays, the
// throttle and the redirected calls. Each is held while memory is looked at and no
// longer. The files of the call and its legs have none.
//
// # Decisions
//
// A call that waits has no goroutine, in any phase: most of a call's life is waiting, and
// a stack is as large as all its state. Once the caller has acknowledged its answer, the
// call lets go of its set-up (call_settle.go), and what stays is copied out of messages.
// TestCallThatWaitsHasNoGoroutine, TestOneTurnAtATime, TestHeldCallIsSmall.
//
// What an attempt needs before its INVITE is a coroutine: the goroutine that has read the caller's INVITE also writes
// the request to the platform's API, and the one that reads the answer dials. On two processors that costs a call 0.89
// times the CPU of a goroutine beside it, whose start wakes a thread. Whatever may block there says so before
// (coroutine.Leave), or a reader of SIP waits with it.
//
// An operator's order is neither a fact nor an event (order.go). The call carries it
// out between two of them, in any phase, and answers at once. So no phase has to
// handle orders. TestRecordsOnDemand, TestOrderedSounds.
//
// An ordered transfer is that of a REFER which nobody hears of. Who is announced to is tried out, as a target
// is that has to agree on its keys: the agent waits without media, and has its side back if that comes to
// nothing. A hold by an order is two sounds that take the place of speech (bridge/sounds.go), so that no leg
// has to take part. Orders leave room in the inbox. TestOrderedTransfer, TestWarmTransferIsLeft,
// TestHoldByOrder, TestManyOrders.
//
// A call notes its state before its 200 leaves, and before each later change of its
// session is confirmed (checkpoint.go). A target's ACK waits for that, too: from its ACK on the
// target has the call, and it could not be cancelled. An INVITE gets its 100 when it is
// noted, and not before, so that the peer repeats it to the next process. (A note that
// comes while another one is written waits for that; the 100 does not.) What comes in
// the moments after the answer, the ACK and the sources of media, is noted once. CSeqs of
// a restored leg go on 100 higher, so not every request has to be noted.
// TestCallsLiveOn, TestCallModel.
//
// A restored call is asked only where it is silent: OPTIONS to the sides that send no
// RTP, because a BYE may have been missed. TestCallsLiveOn, TestSilentCallIsAskedOnce.
package b2bua
