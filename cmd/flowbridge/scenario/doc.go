// Package scenario runs a conversation with an agent as a test: `flowbridge test FILE`.
//
//	FILE ─▶ config.Conversation ─▶ caller, a sim.Party ─▶ a B2BUA of this process ─▶ the agent, or a running server
//	              │                                    │ record, ladder, recording
//	              └─ expectations ─▶ judge ◀─ Run, the figures of a call
//
// The B2BUA is the one that serves callers. So an agent gets the same request before the call and the same INVITE as in
// production, except for the additions of a table of numbers and of hooks. Most figures come from the call's record.
// Only the effects of a step are measured here, from the utterances in the ladder: the caller's words are known to the
// sample.
//
// A recorded call becomes the same steps: its caller's words, and what it waited for before them.
//
// The caller has no clock. The sender's clock steps it every 20 ms, and each packet that comes tells it the time.
//
// A packet that this machine sends more than 20 ms late widens the figures that it may have changed. A run is noisy if
// the record says so. Then figures of the sound get no verdict.
package scenario
