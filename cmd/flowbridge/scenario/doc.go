// Package scenario runs a conversation with an agent as a test: `flowbridge test FILE`.
//
//	FILE ─▶ config.Conversation ─▶ caller, a sim.Party ─▶ a B2BUA of this process ─▶ the agent, or a running server
//	              │                                    │ record, ladder, recording
//	              └─ expectations ─▶ judge ◀─ Run, the figures of a call
//
// The B2BUA is the one that serves callers. So an agent gets the same request before the call and the same INVITE as in
// production, without what a table of numbers and hooks add, and the figures are those of a record. Only what a step
// caused is counted here, from the utterances in the ladder: the caller's own words are known to the sample.
//
// The caller has no clock. The sender's clock steps it every 20 ms, and each packet that comes tells it the time.
//
// A run is noisy if this machine sent its packets more than 20 ms late, or if the record says so. Then no figure of
// what was heard gets a verdict.
package scenario
