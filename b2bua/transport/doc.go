// Package transport takes SIP messages in and sends them out: sockets, connections, the
// screen before the parser, and the wires of legs. It knows which trunks may send, and no
// call. One server works on one Stack.
//
// A message's way in, on the goroutine that has read it:
//
//	UDP socket (socket_linux)    TCP or TLS connection (streams)
//	  udpEndpoint                  message.Framer  cuts it into messages
//	    │                          stream
//	    └────────────┬─────────────┘
//	  screen       before the parser: strangers, form, size, rates, caps; stateless
//	               answers. It allocates nothing and asks the Handler: Peers,
//	               Capacity, InDialog, InProgress. The Tap sees what passes
//	  parser       then stamp (arrival): received, rport, our To tag
//	  transaction  answers, ACKs and copies find theirs; a CANCEL finds its INVITE (cancel)
//	  Handler      Request; StrayResponse where no transaction waits
//
// A Handler asks back which trunk has sent a request, and whether that has proven it (identify).
//
// A message's way out: a Wire performs the effects of its leg in order. A leg does
// no I/O: what it says goes out by its Wire, which has its name from that. It finds
// the socket or connection of each (wire_route), begins its transaction
// (wire_request) and posts the answers to the leg. Reply and Send answer messages
// that belong to no leg.
//
// Listen opens the sockets. Unplugged makes the same Stack without a network, for
// explain.
//
// Locks: each is held while memory is looked at and no longer, and no Handler
// method is called under one. Stack.mu guards cached lookups, streams.mu the tables
// of connections, Wire.mu one wire, load.mu the measurements.
// Turns.mu the turns that wait, and who reads.
// Wire.mu is taken before streams.mu; otherwise none is taken within another.
// certificates.mu is held for more: while a file is read.
//
// # Decisions
//
// A message is handled where it was read, without a goroutine of its own: a Handler may
// not block, and messages of one socket keep their order. What may wait for a name, a
// connection or a peer that does not read is done by a goroutine of its Wire. A reader of
// a connection may wait for that connection's peer.
//
// A turn that a datagram begins is run by the goroutine that has read it (Turns): to wake
// another one costs as much as the turn. If more datagrams wait, or the turn takes long,
// another goroutine reads meanwhile. TestReaderBehind, TestLongTurn.
//
// Of the SIP library we use the types of messages. What transactions (package transaction)
// leave to their user is in one place each:
//
//   - stamp sets our To tag before the transaction exists, because a CANCEL is answered
//     for its INVITE. TestCancelAtEveryStage.
//   - A final answer that lost to a CANCEL is told to the leg (Wire.respond).
//     TestCancelBeats200ToCarrier.
//   - A CANCEL that came before its INVITE waits for T1. TestCancelBeforeItsInvite.
//   - A 2xx without a transaction reaches Handler.StrayResponse, which sends ACK and
//     BYE. TestTargetsRepeat.
//
// A connection that is gone is replaced without its transactions noticing: a message takes
// a detour. So limits, deadlines, the names in certificates and reuse are in one place.
// TestHalfMessages, TestConnectionLife, TestStreams.
//
// A request whose connection breaks is sent again as it is (request.broken). To the peer
// it is a retransmission. It waits 100 ms, because a peer may close a connection
// right after it has answered. TestStreams,
// TestTargetClosesBehindFinalAnswer.
//
// Overload is a standing queue (load). We measure how long a datagram waits in its
// socket, and a message of a connection for a goroutine. New calls get 503 when every
// message for as long as sip.max_delay has waited for longer than that; a burst that drains
// is no overload. The limit is well below T1 (RFC 3261 section 17.1.1.1), because a
// queue that holds a message that long is sent everything twice. A trunk with fewer calls in set-up than the others on
// average is spared, because the load is not its own. TestLoad, TestOverload, TestOverloadSparesNeighbours.
//
// A known peer's new requests have a rate for each address, judged before the parser. In
// a dialog they have none: those end calls. TestFlood, TestFloodSparesPendingCalls.
//
// A sender that belongs to no trunk or target is a stranger here, because operators know it by that word: from the
// glossary, docs/security.md and the reason stranger_rate. Its answers have a rate by its network, because its address
// may be forged, and an address that has shown right credentials has its own part. TestFloodSparesTheProven. Only a
// REGISTER, which has to be answered, and such an address get answers that are longer than their requests.
// TestShortRegisterIsAnswered.
//
// A message that the kernel does not take counts as lost (udpEndpoint.Send). SIP repeats what
// matters, whereas an error would end the transaction. Only an INVITE that begins a call
// fails at once. TestUnsentMessages.
package transport
