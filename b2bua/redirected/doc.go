// Package redirected handles calls that another party dials as we tell it: Twilio's webhook asks for the destination of
// a call, and asks again when an attempt has ended. The targets are prepared as for a trunk's call (outbound.Request),
// and an attempt's end has the same meaning (outbound.OutcomeOf), so that a target behaves alike for both. The SIP and
// RTP of these calls do not pass through this server.
//
// # Decisions
//
// A redirected call has no goroutine, because Twilio holds the call and asks when an attempt has ended. Each decision
// is made once, in its own goroutine. Requests that repeat the question wait for it. TestFollowedSteps,
// TestFollowedAgain.
//
// Each call is remembered by all its ids for a while, because its agent asks for variables at the beginning of the
// call, and its platform reports its end. TestMemory.
package redirected
