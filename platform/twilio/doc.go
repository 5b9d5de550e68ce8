// Package twilio answers Twilio's voice webhook. When a call comes in to a Twilio number, Twilio requests a URL, and
// the answer is TwiML that dials a SIP URI.
//
//	caller ──▶ Twilio ── GET or POST /redirect_call ──▶ Handler ── Route ──▶ (the targets)
//	              │  ◀── <Response><Dial><Sip>… ───────────┘
//	              └──── INVITE, headers of the URI ─────────────────────────▶ platform
//
// If <Dial> has an action URL, Twilio requests that URL after the dialled call has ended. The handler of
// NewEndedHandler answers what to do next: dial another target, play the fallback, or end.
//
// So a platform can be called without media passing through Flowbridge. Synthflow's documents "Dial to SIP Endpoint",
// "How to Direct SIP Dialing" and "Forward calls to the SIP trunk" describe this; path, parameters and the text of the
// 400 are taken from them. Twilio's requests and TwiML are described at twilio.com/docs: "TwiML for Programmable
// Voice", "TwiML Voice: <Sip>", "Webhooks security".
//
// Ownership: each request has its own goroutine, which waits for a second goroutine that calls Route. The second one
// may outlive the request if Route ignores its context; it counts against Options.MaxRequests until it returns.
package twilio
