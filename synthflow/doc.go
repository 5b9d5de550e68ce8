// Package synthflow communicates with Synthflow outside SIP. It has the X-EI header, the post-call webhook, and the
// numbers and agents of an Account. The prepare step works for any platform and is in package prepare.
//
// Words: a report is what the platform tells about a finished call.
//
// Decisions:
//
//   - A webhook's report is only a hint. Its signature covers only the call's id, so anyone who has seen one signature
//     can forge the other members. So the report of the platform's API (GetCall) is kept instead (TestGetCall;
//     TestTakeReport in cmd/flowbridge/node). A report belongs to the call that was prepared with its id, or to the one
//     finished call that has its external id.
//
// Ownership: an Account never changes, so many goroutines may use one. It never logs: its errors say what went wrong.
// Errors and String methods never contain the token.
package synthflow
