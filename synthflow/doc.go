// Package synthflow speaks to Synthflow beside SIP: the prepare_inbound step over HTTP before an INVITE, the X-EI header in
// it, the post-call webhook, and the numbers and agents of an Account.
//
//	InboundRequest ── POST /v2/prepare_inbound ──▶ PreparedCall{CallID}
//	                                                    │
//	                        X-EI: S.<CallID>;  ◀────────┘
//
// Words: a prepared call is one that the platform has registered and given an id. The step is everything that
// PrepareInbound does, with its one retry. A report is the platform's account of a finished call.
//
// Decisions:
//
//   - A webhook's report counts only as a hint. Its signature covers the call's id alone, so the other members can be
//     forged by anyone who has seen one signature; what the platform's API says of the call (GetCall) is kept instead
//     (TestGetCall; TestTakeReport in cmd/flowbridge/node). A report belongs to the call that was prepared with its id, or to the
//     one finished call that has its external id.
//   - An id serves one call. Two INVITEs with one id would be one call to the platform, so an id that comes again is
//     refused (TestIDGivenTwice), unless the API is a stub nearby that knows only one (TestStub).
//   - One HTTP client serves prepare and accounts (internal/rest), but prepare keeps more idle connections and allows only 3s
//     (TestBudget, TestConnectionIsReused).
//
// Ownership: a Client changes only its GivenIDs, which are bounded and locked, so one Client serves every call. It never
// logs: the Error, whose Kind is one of a closed set, says what went wrong. The token is in no error and no String.
package synthflow
