// Package circuit keeps calls from waiting for a platform that does not answer: a circuit breaker for each API and each
// SIP destination.
//
//	         too many failures, and nothing that succeeded
//	closed ─────────────────────────────────────────────────▶ open ──┐ the pause is over
//	  ▲                                                        ▲     ▼
//	  └───────────────── the one try succeeds ──────────── half open ┘ the try fails: a longer pause
//
// # Decisions
//
// A circuit opens because of failures in a row, and not because of a share of failures. If a platform fails every
// second call at once, there is no wait, and failover serves those callers. Taking the platform out of use would also
// refuse the callers that it serves. TestHalfOfThemFail.
//
// After a silence, the attempts that still wait count as failures as well. With an API that hangs for three seconds, at
// 50 calls a second, there are one timeout and 149 callers that wait. TestHangingAPI checks this. If anything that
// started later was answered, the silence concerns only that one attempt, and counts as one failure. TestOneIsSlow and
// TestSomeAreSlow check this.
//
// A row of failures must last a second. A burst of refusals within a few milliseconds, from a proxy that is being
// reloaded, opens no circuit. TestBurst.
//
// A provisional answer, like SIP's 100, closes a half-open breaker. Otherwise one unanswered call would keep all others
// away for as long as it rings. If the breaker is closed, it does not end a row of failures, because each 503 of a
// proxy comes after a 100. TestHeard checks this.
//
// The pause starts short, at a second, because every refused call is a person. It doubles with each failed try up to
// its limit. If a breaker opens again soon after it closed, the pause is not reset, so that a flapping destination is
// tried rarely. TestFlapping checks this.
//
// The caller whose call tries a destination after a pause is a person as well. So the caller moves on to another target
// when half of the time is over, and the try continues without the caller (b2bua, TestTrialOfAnAPI,
// TestTrialOfATarget).
//
// A platform that answers calls and then says nothing is no failure for SIP. Who listens to the calls tells the breaker
// (Silence), and then it is open only for calls that another target can take: a silent agent may be better than none.
// One call a minute tries, and the first words close it. A SIP answer does not. TestSilence.
//
// Libraries offer none of this: failsafe-go and gobreaker count only finished attempts, and their half-open state lets
// a number of calls through, whatever the answer to the previous one. The rest is only a hundred lines.
//
// Every decision takes the time as an argument. A closed breaker costs an attempt two locks and no allocation.
package circuit
