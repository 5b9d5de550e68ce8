// Package transport takes SIP messages in and sends them out: sockets,
// connections, the screen before the parser, the library's transactions, and the
// wires of legs. It knows which trunks may send, and no call. One server works on
// one Stack.
//
// A message's way in:
//
//	UDP socket (socket_linux)    TCP or TLS connection (streams)
//	  guard                        message.Framer  cuts it into messages
//	    │                          stream
//	    └────────────┬─────────────┘
//	  screen       before the parser: strangers, form, size, rates, caps; stateless
//	               answers. It allocates nothing and asks the Handler: Peers,
//	               Capacity, InDialog, InProgress. The Tap sees what passes
//	  sipgo        parser; then stamp (arrival): received, rport, our To tag
//	  sipgo        transactions
//	  Handler      Request; StrayResponse where no transaction waits
//
// A message's way out: a Wire performs the effects of its leg in order. It finds
// the socket or connection of each (wire_aim), begins its transaction
// (wire_request) and posts the answers to the leg. Reply and Send answer messages
// that belong to no leg.
//
// The library never opens a connection, looks up a name or cuts a connection into
// messages. A feed hands it each connection as if it had accepted it, so a
// connection that broke is replaced without its transactions noticing. The library
// keeps every address that a listener has heard from, so a listener is renewed in a
// quiet moment (renewal).
//
// Listen opens the sockets. Unplugged makes the same Stack without a network, for
// explain.
//
// Locks: each is held while memory is looked at and no longer, and no Handler
// method is called under one. Stack.mu guards cached lookups, streams.mu the tables
// of connections, Wire.mu one wire, load.mu the measurements.
// Wire.mu is taken before streams.mu; otherwise none is taken within another. Three
// are held for more: certificates.mu while a file is read, feed.mu while a
// connection is handed to the library, and Stack.swap, for reading, while a request
// is sent over UDP, so that its listener is not renewed meanwhile.
//
// # Decisions
//
// We use the library's transactions, not its Server or dialogs. A handler then need
// not outlive its transaction. Each trap of the transactions is met in one place:
//
//   - stamp sets our To tag before the transaction exists, because the transaction
//     answers CANCEL by itself. TestCancelHasTheTagOfItsInvite.
//   - respondInvite sends 487 after a final answer that lost to a CANCEL.
//     TestCancelBeats200ToCarrier.
//   - The server parks a CANCEL that came before its INVITE. TestCancelBeforeItsInvite.
//   - A 2xx without a transaction reaches Handler.StrayResponse, which sends ACK and
//     BYE. TestForked200.
//   - Reply ends the transaction of a CANCEL, whose answer bypasses the library's
//     state machine.
//
// The library never opens a connection nor cuts a stream into messages. It gets each
// connection as if it had accepted it, reads one admitted message at a time, and its
// writes take a detour where the connection is gone. So limits, deadlines, the names
// in certificates and reuse are in one place. TestHalfMessages, TestConnectionLife,
// TestTargetAnswersByItsOwnConnection.
//
// A request whose connection breaks is sent again as it is (Wire.again). To the peer
// it is a retransmission. It waits 100 ms, because a peer may close a connection
// right after it has answered. TestTargetConnectionDiesWhileRinging,
// TestTargetClosesBehindFinalAnswer.
//
// Transactions end early where something else does their work, so that a call that
// is over costs memory for seconds, not half a minute. The server transaction of an
// INVITE ends when its 200 is acknowledged, as the registry remembers the INVITE for
// 64*T1. A client transaction ends at its final answer: a repeated 2xx finds its leg,
// a repeated refusal is acknowledged without state. The others end after five
// seconds. TestUnacknowledgedAnswerIsRepeated, TestRepeatedReinviteIsNotAnswered,
// TestRepeatedByeIsAnswered.
//
// Overload is a standing queue (load). We measure how long a message waits in its
// socket and for a goroutine, one message at a time. New calls get 503 when every
// message for as long as sip.max_delay has waited for longer than that; a burst that drains
// is no overload. The limit is well below T1 (RFC 3261 section 17.1.1.1), because a
// queue that holds a message that long is sent everything twice. A trunk with fewer calls in set-up than the others on average is
// spared, because the load is not its own. TestLoad, TestOverload,
// TestOverloadSparesNeighbours.
//
// A known peer's new requests have a rate for each address, judged before the parser. In
// a dialog they have none: those end calls. TestFlood, TestFloodSparesPendingCalls.
//
// A message that the kernel does not take counts as lost (guard.send). SIP repeats
// what matters, whereas an error would end the library's transaction. A request that
// can't be sent for good fails. TestUnsentMessages.
package transport
