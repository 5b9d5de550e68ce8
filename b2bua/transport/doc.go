// Package transport receives and sends SIP messages: it has the sockets, the connections,
// the screen before the parser, and the wires of legs. It knows which trunks may send,
// but no calls. One server works on one Stack.
//
// The way of a message in, on the goroutine that read it:
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
// A Handler asks the Stack which trunk has sent a request, and whether the trunk has proven it (identify).
//
// The way of a message out: a Wire performs the effects of its leg in order. A leg does
// no I/O; its Wire sends its messages, hence the name. The Wire finds the socket or
// connection of each message (wire_route), begins its transaction (wire_request) and
// posts the answers to the leg. Reply and Send answer messages that belong to no leg.
//
// Listen opens the sockets. Unplugged makes the same Stack without a network, for
// explain.
//
// Locks: each is held only while memory is read or written, and no Handler method is
// called under one. Stack.mu guards cached lookups, streams.mu the tables of connections,
// Wire.mu one wire, load.mu the measurements. Turns.mu guards the turns that wait, and
// the readers. Wire.mu is taken before streams.mu; no other lock is taken while another
// one is held. certificates.mu is the exception: it is held while a file is read.
//
// # Decisions
//
// The goroutine that reads a message also handles it: a Handler may not block, and
// messages of one socket keep their order. Work that may wait for a name, a connection or
// a peer that does not read is done by a goroutine of its Wire. A reader of a connection
// may wait for that connection's peer.
//
// The goroutine that reads a datagram also runs the turn that the datagram begins
// (Turns): waking another goroutine costs as much as the turn. If more datagrams wait, or
// the turn takes long, another goroutine reads in the meantime. TestReaderBehind,
// TestLongTurn.
//
// We use only the SIP library's message types. Each task that transactions (package
// transaction) leave to their user is done in one place:
//
//   - stamp sets our To tag before the transaction exists, because a CANCEL is answered
//     for its INVITE. TestCancelAtEveryStage.
//   - The leg is told if its final answer lost to a CANCEL (Wire.respond).
//     TestCancelBeats200ToCarrier.
//   - A CANCEL that came before its INVITE waits for T1. TestCancelBeforeItsInvite.
//   - A 2xx without a transaction reaches Handler.StrayResponse, which sends ACK and
//     BYE. TestTargetsRepeat.
//
// A connection that is gone is replaced, and its transactions do not notice: a message
// takes a detour. Therefore limits, deadlines, the names in certificates and reuse are in
// one place. TestHalfMessages, TestConnectionLife, TestStreams.
//
// A request whose connection breaks is sent again as it is (request.broken). To the peer
// it is a retransmission. It waits 100 ms, because a peer may close a connection
// right after it has answered. TestStreams,
// TestTargetClosesBehindFinalAnswer.
//
// Overload is a standing queue (load). We measure how long a datagram waits in its socket, and how long a message of a
// connection waits for a goroutine. New calls get 503 when, for sip.max_delay, every message has waited for longer than
// sip.max_delay; a burst that drains is no overload. The limit is well below T1 (RFC 3261 section 17.1.1.1), because
// peers send everything twice to a queue that holds messages for T1. A trunk with fewer calls in set-up than the others
// on average is spared, because the load is not its own. TestLoad, TestOverload, TestOverloadSparesNeighbours.
//
// A known peer's new requests have a rate for each address, judged before the parser.
// Requests within a dialog have no rate: they end calls. TestFlood,
// TestFloodSparesPendingCalls.
//
// A sender that belongs to no trunk or target is called a stranger here, because operators know that word from the
// glossary, docs/security.md and the reason stranger_rate. Answers to strangers have a rate for each network, because
// addresses may be forged. An address that has shown right credentials has its own rate. TestFloodSparesTheProven. Only
// such an address, and a REGISTER, which has to be answered, get answers that are longer than their requests.
// TestShortRegisterIsAnswered.
//
// A message that the kernel does not take counts as lost (udpEndpoint.Send). SIP repeats
// what matters, but an error would end the transaction. Only an INVITE that begins a call
// fails at once. TestUnsentMessages.
package transport
