// Package platform is a stand-in for any platform that can be described: the request that it wants before a call, the
// transport of its agent, which calls it lets in, and what their Request-URI and headers must have.
//
//	(under test) ── POST … ──▶ API, as described     {id}
//	(under test) ── INVITE ──▶ agent, as described   (user part: id, number or name; digest; secret header; SRTP)
//
// One engine serves all of them. A platform's documentation is data (Descriptions), with its source. The stand-in is as
// strict as the documents: it refuses what they do not have, and says what that is.
//
// Ownership: a call's goroutine calls its methods. The platform's lock guards the calls whose owner was asked.
package platform
