// Package reach gets what an attempt needs before its INVITE: the platform's id, the addresses of its SIP host, and the
// connection to one of them. It decides when the next address has its turn (RFC 3263 section 4.3), and it asks targets
// by OPTIONS whether they are there (ping).
//
//	Begin ──▶ the platform's answer ──▶ addresses, or Contacts ──▶ connection ──▶ INVITE
//	                                          ▲                                     │
//	                                          └───────── FailedAt, Next ◀───────────┘
//
// # Decisions
//
// To reach a target is all of it: to prepare, resolve, connect and ping. The package is not called contact, because a
// Contact is a header, and what has registered here.
//
// The tests are in calltest.
//
// All addresses of a target share its time for the first answer. Each has an equal part of what is left, but at least
// 1.5 s, which is enough for two retransmissions over UDP. One attempt tries eight addresses at most. A target with one
// address has its whole time. TestNextAddress, TestSecondAddress, TestConnectionsInTime, TestOneAddressAsksNobody.
//
// The next address has its turn after 503, silence and errors of the transport. Any other answer is the target's word.
// An address that failed is avoided by later calls. TestNextAddress, TestSecondAddress.
//
// The Contacts of a trunk that registers here have their turns by q, one after the other (RFC 3261 section 16.6). The
// next one has its turn after 408, 480 and 5xx, too: a phone that is off says nothing for the others. All Contacts
// together ring no longer than one may. TestNextContact, TestContactsRingTogether.
//
// A binding whose connection is gone is removed. One that can't be reached for the moment stays, and a caller that
// gives up removes no registration. TestProxyIsConnectedToAgain, TestCancelKeepsBinding.
//
// A Contact at another node is called from here only if its first hop names the address itself that its REGISTER came
// from: behind a NAT, and by a connection, only that node reaches it, and the error says so. It is no failure of the
// trunk. TestRegisteredElsewhere, TestReachableOnlyFromThere, TestOthersAreAsked, TestOthersAreSlow.
//
// OPTIONS go to all addresses at once, and one that answers is enough. They pass an open circuit, which lets no call
// through, and go out as soon as it may be tried. So an outage ends before a call would have to try it.
// TestPing, TestPingOverTCP.
//
// The platform's answer may be large. It is let go of when no further INVITE can be made of it. TestAnswerWithoutID,
// TestSettledCallKeepsNoAnswer.
package reach
