// Package transport receives and sends SIP messages: it has the sockets, the connections, the screen that filters
// messages before the parser, and the wires of legs. It knows which trunks may send, but nothing of calls. One server
// works on one Stack.
//
// The path of a received message, on the goroutine that read it:
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
// A Handler asks the Stack which trunk has sent a request, and whether the sender has proven that (identify).
//
// The path of a sent message: a Wire performs the effects of its leg in order. A leg does no I/O; its Wire sends its
// messages, hence the name. The Wire finds the socket or connection for each message (wire_route), starts its
// transaction (wire_request) and posts the responses to the leg. Reply and Send send messages that belong to no leg.
//
// Listen opens the sockets. Unplugged makes the same Stack without a network, for
// explain.
//
// Locks: a goroutine holds a lock only while it reads or writes memory, and calls no Handler method meanwhile. Stack.mu
// guards cached lookups, streams.mu the tables of connections, Wire.mu one wire, load.mu the measurements. Turns.mu
// guards the turns that wait, and the readers. Wire.mu is taken before streams.mu; no other lock is taken while another
// lock is held. certificates.mu is the exception: it is held while a file is read.
//
// # Decisions
//
// The goroutine that reads a message also handles it: a Handler may not block, and messages of one socket keep their
// order. A goroutine of the Wire does the work that may wait for a name, a connection or a peer that does not read. A
// reader of a connection may wait for that connection's peer.
//
// The goroutine that reads a datagram also runs the call's turn that the datagram starts (Turns), because waking
// another goroutine costs as much as the turn. If more datagrams wait, or the turn takes long, another goroutine reads
// in the meantime. TestReaderBehind and TestLongTurn check this.
//
// We use only the SIP library's message types. Package transaction leaves some tasks to its user, and each of them is
// done in one place:
//
//   - stamp sets our To tag before the transaction exists, because a CANCEL is answered
//     for its INVITE. TestCancelAtEveryStage.
//   - The leg is told if its final answer lost to a CANCEL (Wire.respond).
//     TestCancelBeats200ToCarrier.
//   - A CANCEL that came before its INVITE waits for T1. TestCancelBeforeItsInvite.
//   - A 2xx without a transaction reaches Handler.StrayResponse, which sends ACK and
//     BYE. TestTargetsRepeat.
//
// If a connection breaks, another one replaces it without its transactions noticing: their messages take a detour. So
// limits, deadlines, the names in certificates and reuse are all handled in one place. TestHalfMessages,
// TestConnectionLife and TestStreams check this.
//
// If a connection breaks before a request on it is answered, the request is sent again unchanged (request.broken). To
// the peer it is a retransmission. It waits 100 ms, because a peer may close a connection right after it has answered.
// TestStreams and TestTargetClosesBehindFinalAnswer check this.
//
// We are overloaded if a queue does not drain (load). We measure how long a datagram waits in its socket, and how long
// a message of a connection waits for a goroutine. New calls get 503 when, for sip.max_delay, every message has waited
// for longer than sip.max_delay; a burst that drains is no overload. The limit is well below T1 (RFC 3261 section
// 17.1.1.1), because peers repeat every message that waits in a queue for T1. A trunk with fewer calls in set-up than
// the other trunks on average still gets its calls through, because it does not cause the load. TestLoad, TestOverload
// and TestOverloadSparesNeighbours check this.
//
// The rate of a known peer's new requests is limited for each address, before the parser. Requests within a dialog are
// not limited: they end calls. TestFlood and TestFloodSparesPendingCalls check this.
//
// A sender that belongs to no trunk or target is called a stranger here, because operators know that word from the
// glossary, docs/security.md and the reason stranger_rate. The rate of answers to strangers is limited for each
// network, because addresses may be forged. An address from which right credentials came has a rate of its own.
// TestFloodSparesTheProven checks this. Only such an address, and a REGISTER, which has to be answered, get answers
// that are longer than their requests. TestShortRegisterIsAnswered checks this.
//
// A message that the kernel does not accept counts as lost (udpEndpoint.Send): SIP repeats important messages, while an
// error would end the transaction. Only an INVITE that starts a call fails at once. TestUnsentMessages checks this.
package transport
