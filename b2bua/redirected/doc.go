// Package redirected handles calls that another party dials as we tell it: Twilio's webhook asks for the destination of
// a call, and asks again when an attempt has ended. Targets are prepared as for a trunk's call (outbound.Request), and
// an attempt's end means the same (outbound.OutcomeOf), so a target behaves the same way for both. The SIP and RTP of
// these calls do not pass through this server.
//
// # Decisions
//
// A redirected call has no goroutine, because Twilio holds the call and asks when an attempt has ended. Each decision
// is made one time, in its own goroutine, and repeated requests wait for it. TestFollowedSteps, TestFollowedAgain and
// TestRepeatedRequest check this.
//
// Each call can be found by all its ids for a while, because its agent asks for variables at the start of the call, and
// its platform reports its end. TestMemory checks this.
package redirected
