// Package leg is one side of a call: a SIP dialog as a machine without I/O.
//
//	Input ──▶ Leg.Step(now, input) ──▶ facts for the call
//	                               └─▶ effects for the wire
//
// Inputs, facts and effects are closed sets (event.go). Deadlines are data: the
// call that owns a leg asks for the next one and steps it when that has come.
// A leg is owned by one goroutine, so nothing here is locked.
//
// A leg is a whole dialog: offers and answers, reliable provisional answers as a
// UAS and as a UAC, session timers, digest credentials for its peer's challenges,
// and the order in which its peer's requests are looked at (Sequence).
package leg
