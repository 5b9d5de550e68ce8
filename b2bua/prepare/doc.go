// Package prepare makes the HTTP request that a platform wants before an INVITE: one step for one call, with its time
// limit, its retry, and the rule for successful answers.
//
//	config.Ask (method, URL, headers, JSON) ── one request, at most one more ──▶ API
//	Prepared{CallID, Body}                  ◀── config.Answer: statuses, members, where the id is
//
// It knows no particular platform. Synthflow's prepare_inbound, and any API from a configuration file (kind http), are
// the same step with other words (TestKindsByAnswer).
//
// Words: the step is everything that Prepare does. A prepared call is one that the platform knows by an id.
//
// Decisions:
//
//   - An id serves one call. Two INVITEs with one id would be one call to the platform, so a repeated id is refused
//     (TestIDGivenTwice), unless the API is a nearby stub that knows only one (TestStub).
//   - An answer is accepted only as a whole: JSON, with the right types, and with an id that fits into a header and a
//     URI. The rest of it is for the configuration's templates.
//   - The step keeps more idle connections than other clients, and allows only 3s (TestBudget, TestConnectionIsReused).
//
// Ownership: a Client changes only its GivenIDs, which are bounded and locked, so one Client serves every call. It
// never logs: the Error, whose Kind is one of a closed set, says what went wrong. No error and no String contains the
// token.
package prepare
