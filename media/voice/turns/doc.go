// Package turns measures a conversation from the speech of both parties: how long the caller waited for each answer,
// and whether the agent stopped when it was interrupted. It has no clock and no I/O.
//
//	segments and views of both sides ──▶ [Talk] ──▶ [Figures], at any time
//	cuts and pauses of the line      ──▶   │
//	                                       └──▶ [Moment] by moment, for lanes and live views
//
// # Words
//
//   - utterance: speech of one party with pauses shorter than 400 ms. A sound below 120 ms counts only if more follows
//     it.
//   - turn latency: from the end of the caller's last utterance to the start of the agent's first one after it.
//   - barge-in: the caller starts while the agent speaks, outside the first and last 200 ms of its utterance. The
//     agent's reaction is how long it continues. If that is 3 s, the barge-in was ignored.
//   - backchannel: an utterance of the caller of less than 600 ms while the agent speaks, after which the agent
//     continues.
//   - cut-off: the agent starts while the caller speaks, and the caller still speaks 200 ms later.
//   - music: the agent's side sounds for longer than a voice needs to breathe, or so that what never pauses in it is
//     nearly as loud. While it plays the line carries no conversation. Test: TestMusicOnHold.
//   - dead air: 3 s or more in which both are silent. The party that did not speak last is waited for.
//
// # Decisions
//
// A judgement lags 400 ms behind the known speech, because a shorter pause does not end an utterance. It needs the
// speech of both sides up to the same time. So it depends neither on the order in which the sides are reported nor on
// looks at a live call, which are answered from a copy. Tests: TestOrderOfSidesDoesNotMatter, TestLooksChangeNothing.
//
// The line is cut where it carries something other than a conversation: a digit cuts it at one instant; a hold, a
// transfer or our own sounds for a time. No duration is measured across a cut, and paused time does not count. Test:
// TestCuts.
//
// A figure that is not measured is reported as such, with the reason, and never as 0. Test: TestNotMeasured.
//
// Memory is bounded, whatever the call's length: a [Sample] keeps at most 256 values, [Spans] 2 KB. A [State] outlives
// the process; it is plain data, as are the other states of a session. Tests: TestLongCallIsSmall, FuzzState.
//
// Noise as loud as speech makes figures wrong, not absent. So a call is Noisy where that is likely: a background that
// varies is near a side's speech, or much of a side's sound is no louder than its background; a third of the speech is
// of another loudness; both speak at once for long; there is typing, a tone in bursts, or a caller too quiet. The
// figures of such a call are left out of all percentiles. An even background is no reason, nor is a tone that rings
// before the agent's first words, with a burst that its answer cuts short. A tone, and a segment within 8 dB of its
// background, are not speech. Tests: TestFiguresOfConversations, TestDoubts, TestQuietAndBackground,
// TestOnlySteadySound, TestOwnVoicesAreSpeech.
package turns
