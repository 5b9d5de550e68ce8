// Package synthflow speaks to Synthflow beside SIP and beside the prepare step, which is any platform's (package
// prepare): the X-EI header, the post-call webhook, and the numbers and agents of an Account.
//
// Words: a report is the platform's account of a finished call.
//
// Decisions:
//
//   - A webhook's report counts only as a hint. Its signature covers the call's id alone, so the other members can be
//     forged by anyone who has seen one signature; what the platform's API says of the call (GetCall) is kept instead
//     (TestGetCall; TestTakeReport in cmd/flowbridge/node). A report belongs to the call that was prepared with its
//     id, or to the one finished call that has its external id.
//
// Ownership: an Account changes nothing of its own, so many goroutines may use one. It never logs: its errors say what
// went wrong. The token is in no error and no String.
package synthflow
