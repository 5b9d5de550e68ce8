// Package prepare is the HTTP request that a platform wants before an INVITE: one attempt at it for one call, with its
// time, its retry, and the rule that says which answers are a success.
//
//	config.Ask (method, URL, headers, JSON) ── one request, at most one more ──▶ API
//	Prepared{CallID, Body}                  ◀── config.Answer: statuses, members, where the id is
//
// It knows no platform. Synthflow's prepare_inbound, and what a file says of any other one (kind http), are the same
// step with other words (TestKindsByAnswer).
//
// Words: the step is everything that Prepare does. A prepared call is one that the platform knows by an id.
//
// Decisions:
//
//   - An id serves one call. Two INVITEs with one id would be one call to the platform, so an id that comes again is
//     refused (TestIDGivenTwice), unless the API is a stub nearby that knows only one (TestStub).
//   - An answer is believed only whole: JSON, of the right kinds, with an id that can be carried in a header and a URI.
//     What else it says is for the configuration's templates.
//   - The step keeps more idle connections than other clients, and allows only 3s (TestBudget, TestConnectionIsReused).
//
// Ownership: a Client changes only its GivenIDs, which are bounded and locked, so one Client serves every call. It
// never logs: the Error, whose Kind is one of a closed set, says what went wrong. The token is in no error and no
// String.
package prepare
