// Package twilio answers Twilio's voice webhook: when a call comes in to a Twilio number, Twilio asks a URL what to do,
// and the answer is TwiML that dials a SIP URI.
//
//	caller ──▶ Twilio ── GET or POST /redirect_call ──▶ Handler ── Route ──▶ (the targets)
//	              │  ◀── <Response><Dial><Sip>… ───────────┘
//	              └──── INVITE, headers of the URI ─────────────────────────▶ platform
//
// If <Dial> has an action URL, Twilio asks it after the dialled call has ended, and does what NewEndedHandler's handler
// answers: another target, the fallback, or nothing.
//
// So a platform is called without its media passing through Flowbridge. Synthflow's documents "Dial to SIP Endpoint",
// "How to Direct SIP Dialing" and "Forward calls to the SIP trunk" describe this; path, parameters and the words of the
// 400 are theirs. Twilio's requests and TwiML are described at twilio.com/docs: "TwiML for Programmable Voice", "TwiML
// Voice: <Sip>", "Webhooks security".
//
// Ownership: each request has its own goroutine, which waits for a second goroutine that calls Route. The second one
// may outlive the request if Route ignores its context; it counts against Options.MaxRequests until it returns.
package twilio
