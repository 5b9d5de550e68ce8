// Package ladder collects the messages of a call in order: the SIP of all its legs, the
// HTTP requests, and the decisions of the call with their reasons. Recordings use it,
// because they need the SIP of the set-up, and so do followers (a mirror), and the
// ladders that are stored for humans.
//
//	transport ── Tap ──▶ ┌───────────┐ by Call-ID and tag  ┌──────┐ ──▶ recordings, followers
//	                     │ Collector │ ──────────────────▶ │ Call │
//	                     └───────────┘                     └──────┘ at its end ──▶ Encode ──▶ store
//	HTTP client ── RoundTripper, by the request's context ────▲▲
//	the call's goroutine ── Decide, Failed, …  ───────────────┘│
//	the sampler, every 5 s ── figures of the media ────────────┘
//
// A Ladder is the form for showing: Decode makes it from the bytes of Encode. Draw draws
// it for a terminal, Pcapng writes its messages for Wireshark.
//
// Locks: Collector.mu guards the tables, Call.mu one call. Collector.mu is never taken
// while Call.mu is held. Each is held only while memory is read and copied.
//
// # Decisions
//
// All messages of a call are kept from its INVITE on, because a recording may begin in mid-call, and its RTP can't be
// interpreted without the set-up. TestRecordsOnDemand and TestLadderOfACall in calltest.
//
// A message is copied once, with its secrets hidden, into the pages of its call, which
// come from a pool. The pages are stored as they are, so nothing more is built for a call
// that no operator opens. TestLadderCost.
//
// The pages of a quiet call are compressed, because calls are quiet for most of their life. TestQuietCall.
//
// A call's first and last messages are kept. Those that are dropped between them are
// counted. TestBounds.
//
// An INVITE has no call yet when the tap sees it. Its messages are stored until a call
// claims them. TestNobodys.
package ladder
