// Package sim implements both ends of a call around a system under test: a carrier (Carrier) that places calls, and the
// SIP agent of a platform (Agent) that takes them.
//
//	Carrier ── INVITE ──▶ (under test) ── INVITE ──▶ Agent
//	   └───── RTP: words ─────────────────────────────▶ heard by the agent
//	   heard by the caller ◀──── RTP: greeting, answers ──────┘
//
// The packages below add platforms: synthflow and vapi, platform for every platform that data can describe, and twilio
// and whatsapp, which are carriers.
//
// The ends are independent of the product's SIP: they have their own dialogs, SDP and RTP. Like the product, they use
// sipgo's parser and transactions, so they can't reveal faults of the parser itself. The tests with SIPp, baresip and
// Kamailio in e2e can. The API of this package contains no sipgo types, and the platforms do not import sipgo.
//
// Words: the caller's words and the agent's greeting are speech-like audio that is different for every seed
// (SpeechLike), so that the audio received at one end shows who spoke and when (Match). Heard is an end's decoded
// audio, laid out by RTP timestamp, so that loss is silence and not a shift.
//
// Ownership: one goroutine serves an INVITE of the agent from its first response to its end, and a carrier's call runs
// on the goroutine that called Call. The clock's goroutine writes a stream (RTP of one end of one call), the stream's
// own goroutine reads it, and the stream's lock guards what they share. Close of either end waits for all these
// goroutines.
//
// sipgo refuses to send datagrams of more than sip.UDPMTUSize-200 bytes, 1300 by default. That is a global variable: a
// program with larger INVITEs must raise it before it starts either end.
package sim
