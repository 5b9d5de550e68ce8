// Package ladder keeps what is said in a call, in the order in which it was said: the
// SIP of all its legs, the HTTP between, and the decisions of the call with their
// reasons. It serves recordings, which need the SIP of the set-up, followers (a mirror),
// and the ladders that are kept for people.
//
//	transport ── Tap ──▶ ┌───────────┐ by Call-ID and tag  ┌──────┐ ──▶ recordings, followers
//	                     │ Collector │ ──────────────────▶ │ Call │
//	                     └───────────┘                     └──────┘ at its end ──▶ Encode ──▶ store
//	HTTP client ── RoundTripper, by the request's context ────▲▲
//	the call's goroutine ── Decide, Failed, …  ───────────────┘│
//	the sampler, every 5 s ── figures of the media ────────────┘
//
// A Ladder is what can be shown: Decode makes it of the bytes that Encode made. Draw
// draws it for a terminal, Pcapng writes its messages for Wireshark.
//
// Locks: Collector.mu guards the tables, Call.mu one call. The first is never taken
// within the second, and each is held while memory is looked at and copied.
//
// # Decisions
//
// What is said in a call is kept from its INVITE on: a recording may begin in mid-call, and its RTP can't be read
// without the set-up. TestRecordsOnDemand and TestLadderOfACall in calltest.
//
// A message is copied once, with its secrets hidden, into the pages of its call, which
// come from a pool. What the pages hold is what is stored: nothing is built for a call
// that no operator opens. TestLadderCost.
//
// The pages of a call that is quiet are compressed, because most of a call's life is. TestQuietCall.
//
// A call's first messages are kept, and its last ones. What is left out between them is
// counted. TestBounds.
//
// An INVITE has no call yet when the tap sees it. Its messages are kept loosely, and
// given to the call that claims them. TestNobodys.
package ladder
