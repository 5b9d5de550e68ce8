// Package leg implements one side of a call: a SIP dialog as a state machine without I/O.
//
//	Input ──▶ Leg.Step(now, input) ──▶ facts for the call
//	                               └─▶ effects for the wire
//
// A leg handles a whole dialog: offers and answers, reliable provisional answers as a UAS
// and as a UAC, the session timer, and credentials for its peer's challenges. Sequence
// orders the peer's requests before the leg sees them. One goroutine owns a leg, so there
// are no locks.
//
// # Decisions
//
// Inputs, facts and effects are closed sets (event.go), and the linter fails a switch
// that forgets a member. Deadlines are data: the call asks for the next one and sets one
// timer. So the tests need no network and no clock, and try every input in every state:
// TestUASEveryStateAndInput, TestUACEveryStateAndInput, TestModelUAS and TestModelUAC.
//
// Reliable provisional answers and session timers belong to one leg and are never passed through,
// because the peers of a call may support different extensions.
//
// Requests may overtake each other on the network, and a leg would refuse a late one. So Sequence
// puts them in order before the leg sees them. If a peer's first request is a BYE, it waits 40 ms
// for a request that it may have overtaken. TestSequence checks this.
//
// The digest library computes the hash, but this package reads the challenges: the library accepts
// one challenge per header, parameter names in lower case only, no spaces in qop and no -sess.
// TestParseChallenges and TestDigestAlgorithms check this.
//
// A leg measures its INVITE as it will be on the wire (Leg.InviteSize), so that package outbound
// can keep it within the target's size limit. Before it repeats the INVITE, it tells the call how
// much larger the INVITE will be, so that the call can make it shorter (Invite.Shorten).
// TestBudgetOnTheWire in calltest and TestShortenedInvite check this.
package leg
