// Package sim has the two ends of a call: a stand-in for the platform
// (Synthflow) and a carrier (Carrier). What is under test goes between them,
// or nothing does.
//
//	Carrier ── INVITE ──▶ (under test) ── POST prepare_inbound ──▶ Synthflow (HTTP)
//	   │                       └──────── INVITE, X-EI ───────────▶ Synthflow (SIP)
//	   └───── RTP: words ─────────────────────────────────────────▶ heard by the agent
//	   heard by the caller ◀───────────── RTP: greeting, then echo ─────┘
//
// Synthflow has an account (numbers, agents, calls) that its API fills, and
// asks back: while a call rings the inbound webhook and the pre-action, after
// it the webhook that reports it.
//
// Vapi has one, too (assistants, phone numbers, calls). While a call to a
// number without an assistant rings, it asks a server for one:
//
//	Vapi ── assistant-request ──▶ (under test)
//	  │  ◀── assistant, destination or error ──┘
//	  └───── greets, transfers by REFER, or says it and hangs up
//
// Twilio is a carrier that asks a webhook what to do with a call, and does it:
//
//	Twilio ── GET or POST, signed ──▶ (under test)
//	   │  ◀──────── TwiML ────────────────┘
//	   └───── INVITE, headers of the TwiML's SIP URI ──▶ wherever that says
//
// Words: the caller's words and the agent's greeting are audio that looks
// like speech and that is different for every seed (SpeechLike), so that what
// one end heard tells who spoke and when (Match). Heard is what an end
// decoded, laid out by RTP timestamp, so that loss is silence and not a
// shift.
//
// Ownership: an INVITE of the platform is served by one goroutine from its
// first response to its end, and a carrier's call is the goroutine that called
// Call. A stream (RTP of one end of one call) is written by the clock's
// goroutine, read by its own, and guarded by its lock where they meet. The
// webhook after a call has a goroutine of its own. Close of either end waits
// for all of these.
//
// sipgo refuses to send datagrams of more than sip.UDPMTUSize-200 bytes, 1300
// as it comes. That is a variable of the process: a program whose INVITEs are
// larger raises it before it starts either end.
package sim
