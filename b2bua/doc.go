// Package b2bua is the back-to-back user agent: it answers a carrier's INVITE,
// calls a voice-AI platform for it, and keeps the two dialogs and the media
// between them together until one side hangs up.
//
// A message's way in:
//
//	transport    sockets and connections, the screen before the parser,
//	             transactions (package transport)
//	  front      the server as its transport sees it
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
// Locks are in the registry, the admission counts, the inbox, the tapes, the
// replays and the throttle, each held while memory is looked at and no longer.
// There is none in the files of the call and its legs.
package b2bua
