// Package b2bua is the back-to-back user agent: it answers a carrier's INVITE,
// calls a voice-AI platform for it, and keeps the two dialogs and the media
// between them together until one side hangs up. It is the only package that
// knows SIP.
//
// A message's way in:
//
//	UDP socket                 TCP or TLS connection (streams)
//	  guard                      framing   cuts it into messages
//	    │                        stream
//	    └──────────┬───────────────┘
//	  screen     before the parser: strangers, form, size, caps; stateless
//	             answers (scan, form)
//	  sipgo      parser and transactions (stack)
//	  receive    in a dialog? to its leg : admission, then a new Call
//
// A call is one goroutine, Call.run, which owns its legs, the current attempt
// at a target, the media session and the record. What concerns it is posted
// to its inbox; posting never blocks. A Leg is a machine without I/O:
//
//	Input ──▶ Leg.Step(now, input) ──▶ facts for the call
//	                               └─▶ effects for the wire ──▶ transactions
//
// The phases of a call, each a function over the closed set of facts:
//
//	admitted ──▶ routing ──▶ preparing ◀──▶ dialing ──▶ bridged ──▶ end ──▶ linger
//	   │            │             │            │                     ▲
//	   └────────────┴─────────────┴────────────┴──── refused ────────┘
//
// A transfer is an attempt beside the bridge: the call stays in bridged.
//
// In linger the record is written and the media closed; only what the legs
// still owe their peers is seen through: the answer to a BYE, a cancelled
// INVITE's end, a 200 that comes late.
//
// Locks are in the registry, the admission counts, the inbox, the wire's
// queue, the stack's caches, the streams, the load, the replays, the throttle
// and the trace, each held while memory is looked at and no longer. Three are
// held for more: certificates while a file is read, a feed while a connection
// is handed to the library, and swap, for reading, while a request is sent, so
// that no listener is renewed meanwhile. There is none in the files of the call
// and its legs.
package b2bua
