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
//	  screen       before the parser: strangers, form, size, caps; stateless
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
// of connections, Wire.mu one wire, load.mu the measurements, Trace.mu the steps.
// Wire.mu is taken before streams.mu; otherwise none is taken within another. Three
// are held for more: certificates.mu while a file is read, feed.mu while a
// connection is handed to the library, and Stack.swap, for reading, while a request
// is sent over UDP, so that its listener is not renewed meanwhile.
package transport
