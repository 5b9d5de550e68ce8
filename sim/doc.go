// Package sim is one end of a call, to put on both sides of what is under test: a
// carrier (Carrier) that places calls, and the SIP agent of a platform (Agent)
// that takes them.
//
//	Carrier ── INVITE ──▶ (under test) ── INVITE ──▶ Agent
//	   └───── RTP: words ─────────────────────────────▶ heard by the agent
//	   heard by the caller ◀──── RTP: greeting, answers ──────┘
//
// What a platform adds is in the packages below: synthflow, vapi, platform for all
// that can be described by data, and twilio, which is a carrier.
//
// The ends are independent of the product's SIP: their own dialogs, SDP and RTP.
// They use sipgo, whose parser and transactions the product uses, too, so that
// they do not show faults of the parser itself. SIPp, baresip and Kamailio in e2e
// do. Nothing of sipgo is in the API of this package, and the platforms do not
// import it.
//
// Words: the caller's words and the agent's greeting are audio that looks like
// speech and that is different for every seed (SpeechLike), so that what one end
// heard tells who spoke and when (Match). Heard is what an end decoded, laid out
// by RTP timestamp, so that loss is silence and not a shift.
//
// Ownership: one goroutine serves an INVITE of the agent from its first response
// to its end, and a carrier's call is the goroutine that called Call. A stream
// (RTP of one end of one call) is written by the clock's goroutine, read by its
// own, and guarded by its lock where they meet. Close of either end waits for all
// of these.
//
// sipgo refuses to send datagrams of more than sip.UDPMTUSize-200 bytes, 1300 by
// default. That is a variable of the process: a program whose INVITEs are larger
// raises it before it starts either end.
package sim
