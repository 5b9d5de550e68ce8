// Package reach prepares an attempt before its INVITE: it gets the platform's id, the addresses of the SIP host, and
// the connection to one of them. It decides when to try the next address (RFC 3263 section 4.3), and it checks targets
// with OPTIONS (ping).
//
//	Begin ──▶ the platform's answer ──▶ addresses, or Contacts ──▶ connection ──▶ INVITE
//	                                          ▲                                     │
//	                                          └───────── FailedAt, Next ◀───────────┘
//
// # Decisions
//
// Reaching a target includes all of this: preparing, resolving, connecting and pinging. The package is not called
// contact, because a Contact is a header, and also a registration here.
//
// The tests are in calltest.
//
// All addresses of a target share its time for the first response. Each address gets an equal part of the remaining
// time, but at least 1.5 s, which is enough for two retransmissions over UDP. One attempt tries at most eight
// addresses. A target with one address has the whole time. TestNextAddress, TestSecondAddress, TestConnectionsInTime
// and TestOneAddressAsksNobody check this.
//
// The next address is tried after 503, silence and transport errors. Any other response is the target's decision. Later
// calls avoid an address that failed. TestNextAddress and TestSecondAddress check this.
//
// The Contacts of a trunk that registers here are tried by q, one after the other (RFC 3261 section 16.6). The next one
// is also tried after 408, 480 and 5xx, because a phone that is off says nothing about the others. All Contacts
// together ring no longer than one may. TestNextContact, TestContactsRingTogether.
//
// A binding whose connection has ended is removed. A binding that can't be reached at the moment stays, and a caller
// that gives up causes no removal. TestProxyIsConnectedToAgain and TestCancelKeepsBinding check this.
//
// A Contact at another node is called from here only if its first hop names the address that its REGISTER came from.
// Behind a NAT, or over a connection, only the other node can reach it, and the error says so. This does not count as a
// failure of the trunk. TestRegisteredElsewhere, TestReachableOnlyFromThere, TestOthersAreAsked and TestOthersAreSlow
// check this.
//
// OPTIONS go to all addresses at once, and one answer is enough. If a circuit breaker is open, they are sent as soon as
// the target may be tried. So the breaker closes without a call as its trial. TestPing and TestPingOverTCP check this.
//
// The platform's answer may be large. It is released when no more INVITEs can be made from it. TestAnswerWithoutID and
// TestSettledCallKeepsNoAnswer check this.
package reach
