// Package redirected has the calls that another party dials as we say: Twilio's webhook asks where a
// call goes, and asks again when an attempt has ended. The targets are prepared as for a call of a trunk
// (outbound.Request), and the same table judges an attempt's end (outbound.OutcomeOf), so that a target
// behaves alike for both. Their SIP and RTP do not pass here.
//
// # Decisions
//
// A redirected call has no goroutine, because Twilio holds the call and asks when an attempt has ended.
// Each decision is made once, in a goroutine of its own; requests that repeat the question wait for it.
// TestFollowedSteps, TestFollowedAgain.
//
// Each call is remembered by all its ids for a while: its agent asks for variables at the beginning of
// the call, and its platform reports its end. TestMemory.
package redirected
