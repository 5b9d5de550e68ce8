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
// A circuit is judged by what failed in a row, and not by a share of failures. A platform that fails every second call
// at once costs no wait, and failover serves those callers. Taking it out of use would send away the callers that
// it serves. Held by TestHalfOfThemFail.
//
// After a silence, the attempts that still wait count as failures, too. Three seconds of a hanging API at 50 calls a
// second are one timeout and 149 callers that wait. Held by TestHangingAPI. If anything that began later was answered,
// the silence concerns that one attempt, and counts once. Held by TestOneIsSlow and TestSomeAreSlow.
//
// A row of failures must last a second. A burst of refusals within a few milliseconds, from a proxy that is being
// reloaded, opens nothing. Held by TestBurst.
//
// A word before the answer, like 100 of SIP, closes a half-open circuit: else one caller that is not answered would
// keep all others away for as long as it rings. In a closed one it does not end a row of failures, as each 503 of a
// proxy comes after a 100. Held by TestHeard.
//
// The pause begins short, at a second, because every call that is refused is a person. It doubles with each failed try
// up to its bound. It stays as long as it was when a circuit opens again soon after it closed, so that one that flaps
// is tried rarely. Held by TestFlapping.
//
// The call that tries a circuit is a person, too. Its caller goes on to another target when half of the time is over,
// and the try runs on without it (b2bua, TestTrialOfAnAPI, TestTrialOfATarget).
//
// A library's breaker has none of this: failsafe-go and gobreaker count only what has ended, and their half-open state
// lets calls through by number and not by the answer of the one before. What is left is a hundred lines.
//
// Every decision takes the time as an argument. A closed circuit costs an attempt two locks and no allocation.
package circuit
