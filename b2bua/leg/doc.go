// Package leg is one side of a call: a SIP dialog as a machine without I/O.
//
//	Input ──▶ Leg.Step(now, input) ──▶ facts for the call
//	                               └─▶ effects for the wire
//
// A leg is a whole dialog: offers and answers, reliable provisional answers as a UAS and
// as a UAC, session timer, credentials for its peer's challenges. Sequence orders the
// peer's requests before the leg sees them. One goroutine owns a leg, so nothing is
// locked.
//
// # Decisions
//
// Inputs, facts and effects are closed sets (event.go), and the linter fails a switch that
// forgets a member. Deadlines are data: the call asks for the next one and sets one timer.
// So a leg is tested without network and clock, in every state with every input. Held by
// TestUASEveryStateAndInput, TestUACEveryStateAndInput, TestModelUAS and TestModelUAC.
//
// Reliable answers and session timers belong to one leg and are never passed through,
// because the peers of a call need not have the same abilities.
//
// Requests are put back into order before their leg sees them: they overtake each other on
// the network, and a leg would refuse a late one. A BYE that is a peer's first request
// waits 40 ms for a request that it may have overtaken. Held by TestSequence.
//
// The library computes the hash of a digest, but challenges are read here: the library
// accepts one challenge per header, parameter names in lower case only, no spaces in qop
// and no -sess. Held by TestParseChallenges and TestDigestAlgorithms.
//
// A leg measures its INVITE as it will be on the wire (Leg.InviteSize), so that package
// outbound can keep the target's budget. Before it sends the INVITE again, it says how much
// larger it gets, and the call makes it shorter (Invite.Shorten). Held by
// TestBudgetOnTheWire in calltest and TestShortenedInvite.
package leg
