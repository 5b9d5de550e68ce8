// Package call is one call: the legs to the caller and to targets, the attempts at targets, the bridge between caller
// and agent, and the record. A Host has what all calls share. Package b2bua makes it, finds the call or the leg of each
// message, and restores the calls of an earlier process.
//
// One goroutine at a time runs a call (Call.run). It owns the call's legs, the current attempt at a target, the media
// session and the record. Other goroutines post to the call's inbox, and posting never blocks. When nothing is left to
// handle, the phase returns itself, and the call has no goroutine. A post, a deadline or the server's stop starts
// another turn, which continues that phase, usually on the goroutine that has read the message (transport.Turns). A
// Leg is a state machine without I/O:
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
// A call is verified only if its trunk wants verification.
//
// A transfer is an attempt in parallel with the bridge: the call stays in bridged. Package bridge connects the two
// legs.
//
// In linger the record is written and the media is closed. The legs finish: they answer a BYE, wait until a cancelled
// INVITE has its final response, or handle a late 200.
//
// # Decisions
//
// Each field is assigned only in the file that declares its struct: times.go has the time limits, sides.go the legs,
// attempts.go the plan and the attempts. Others use verbs, such as sides.connect. Only what restores a call is exempt.
// TestEachFieldHasOneOwner checks this.
//
// A waiting call has no goroutine, in any phase, because most of a call's life is waiting, and a stack is as large as
// all its state. Once the caller has acknowledged its answer, the call releases the state of its set-up
// (settle.go), and copies the rest out of messages. TestCallThatWaitsHasNoGoroutine, TestOneTurnAtATime and
// TestHeldCallIsSmall check this.
//
// The steps of an attempt before its INVITE run in a coroutine: the goroutine that has read the caller's INVITE also
// writes the request to the platform's API, and the goroutine that reads the API's answer dials. On two processors a
// call then needs 0.89 times the CPU that it needs with a goroutine of its own for these steps, whose start wakes a
// thread. Code that may block there must first call coroutine.Leave, or it blocks a reader of SIP.
//
// An order (a command of an operator or a tool to a live call) is neither a fact nor an event (orders.go). The call
// carries it out between two facts or events, in any phase, and answers at once. So no phase has to handle orders.
// TestRecordsOnDemand and TestOrderedSounds check this.
//
// A transfer that an operator or a tool orders works like one by REFER, but the agent gets no reports. A party that
// hears an announcement is treated like a target that has to agree on its keys: the agent waits without media, and is
// connected again if the party declines. If an order puts the caller on hold, both sides hear sounds instead of the
// speech (bridge/sounds.go), so that no leg is involved. The inbox limits the number of orders, so that they leave
// room for messages. TestOrderedTransfer, TestWarmTransferIsLeft, TestHoldByOrder and TestManyOrders check this.
//
// A call writes a checkpoint of its state before its 200 is sent, and before each later
// change of its session is confirmed (checkpoint.go). The ACK to a target waits for that,
// too: from the ACK on the target has the call, and the INVITE can't be cancelled. An
// INVITE gets its 100 only after the checkpoint, so that otherwise the peer repeats it to
// the next process. (A checkpoint that comes while another one is written waits; the 100
// does not.) The events right after the answer, the ACK and the sources of media, share
// one checkpoint. A restored leg continues with a CSeq that is 100 higher, so not every
// request needs a checkpoint. TestCallsLiveOn, TestCallModel.
//
// A restored call sends OPTIONS only on the sides that send no RTP, because their BYE may have been missed.
// TestCallsLiveOn and TestSilentCallIsAskedOnce check this.
package call
