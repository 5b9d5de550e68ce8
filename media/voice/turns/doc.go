// Package turns says what a conversation was like, from the speech of both parties: how long the caller waited for each
// answer, and whether the agent stopped when it was interrupted. It has no clock and no I/O.
//
//	segments and views of both sides ──▶ [Talk] ──▶ [Figures], at any time
//	cuts and pauses of the line      ──▶   │
//	                                       └──▶ [Moment] by moment, for lanes and live views
//
// # Words
//
//   - utterance: speech of one party whose pauses are shorter than 400 ms. A sound below 120 ms is one only where more
//     follows it.
//   - turn latency: from the end of the caller's last utterance to the beginning of the agent's first one after it.
//   - barge-in: the caller begins while the agent speaks, beyond the first and last 200 ms of its utterance. The
//     agent's reaction is how long it goes on. If that is 3 s, the barge-in was ignored.
//   - backchannel: such an utterance of less than 600 ms, after which the agent goes on. It did not want the turn.
//   - cut-off: the agent begins while the caller speaks, and the caller still speaks 200 ms later.
//   - dead air: 3 s or more in which both are silent. Who spoke last is not waited for.
//
// # Decisions
//
// A judgement trails what is known by 400 ms, because a pause is no end before that. It needs the same from both sides,
// so it does not depend on the order in which they are told, and not on looks at a live call: those are answered from a
// copy. Tests: TestOrderOfSidesDoesNotMatter, TestLooksChangeNothing.
//
// The line is cut where something else than a conversation goes on: digits are an instant, hold, a transfer or our own
// sounds are a time. Nothing is measured across a cut, and time that is paused counts for no share. Test: TestCuts.
//
// What is not measured is told as such, with the reason, and never as 0. Test: TestNotMeasured.
//
// Memory is bounded, whatever the call's length: a [Sample] keeps 256 values at most, [Spans] 2 KB. A [State] outlives
// the process; it is plain data, as the other states of a session. Tests: TestLongCallIsSmall, FuzzState.
//
// Noise that is as loud as speech makes figures that are wrong, not absent. So a call whose background is near its
// speech at times, that has two kinds of loudness, as music and a street have, typing, a tone in bursts or an echo, is
// Noisy, and so is one in which 50 ms decide who had the last word. Its figures belong in no percentile. A segment
// within 8 dB of its background and a tone are no speech. Tests:
// TestFiguresOfConversations, TestDoubts.
package turns
