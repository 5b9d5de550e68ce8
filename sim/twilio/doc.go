// Package twilio is a stand-in for Twilio: a carrier that asks a webhook what to do with a call, and then does it.
//
//	Twilio ── GET or POST, signed ──▶ (under test)
//	   │  ◀──────── TwiML ────────────────┘
//	   └───── INVITE, with the headers of the TwiML's SIP URI ──▶ the address in the URI
//
// The stand-in only accepts SIP URIs that Twilio's documents allow, and sends nothing to addresses that are neither
// loopback nor named by the user.
//
// Ownership: the goroutine that calls Call owns the run of that call.
package twilio
