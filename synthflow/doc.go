// Package synthflow speaks the two things a call to Synthflow needs before
// and in its INVITE: the prepare_inbound step over HTTP, and the X-EI header.
// Beside that it sets up what calls need at the platform: an Account has the
// workspace's numbers and agents.
//
//	InboundRequest ── POST /v2/prepare_inbound ──▶ PreparedCall{CallID}
//	                                                    │
//	                        X-EI: S.<CallID>;  ◀────────┘
//
// Words: a prepared call is one that the platform has registered and given an
// id; the step is everything PrepareInbound does, its one retry included; the
// budget is the time the step may take.
//
// Ownership: a Client's only state that changes after New is its bounded, locked
// memory of the ids that it got lately, so one Client serves every call. It never logs: what went wrong is in the Error, whose
// Kind is one of a closed set. The token is in no error and no String.
package synthflow
