// Package twilio answers Twilio's voice webhook: a call comes in to a Twilio
// number, Twilio asks a URL what to do with it, and the answer is TwiML that
// dials a SIP URI.
//
//	caller ──▶ Twilio ── GET or POST /redirect_call ──▶ Handler ── Route ──▶ (whoever knows the targets)
//	              │  ◀── <Response><Dial><Sip>… ───────────┘
//	              └──── INVITE, headers of the URI ─────────────────────────▶ platform
//
// Where <Dial> has an action URL, Twilio asks that when the call there has
// ended, and does what NewEndedHandler's handler says: another target, the
// fallback, or nothing.
//
// So a platform is called without our being in the path of the media. That is
// what Synthflow's documents "Dial to SIP Endpoint", "How to Direct SIP Dialing"
// and "Forward calls to the SIP trunk" describe; path, parameters and the
// words of the 400 are theirs. What Twilio sends and takes is described at
// twilio.com/docs: "TwiML for Programmable Voice", "TwiML Voice: <Sip>",
// "Webhooks security".
//
// Ownership: a request is answered by its own goroutine, which waits for one
// more that asks Route. That one may outlive the request when Route does not
// heed its context; it counts against Options.MaxRequests until it returns.
package twilio
