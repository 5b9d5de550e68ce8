// Package platform is a stand-in for any platform that can be described by data: the request that it requires before a
// call, the transport of its agent, and the requirements for the Request-URI and headers of a call.
//
//	(under test) ── POST … ──▶ API, as described     {id}
//	(under test) ── INVITE ──▶ agent, as described   (user part: id, number or name; digest; secret header; SRTP)
//
// One engine serves all of them. What a platform's documents say is data (Descriptions) that names its source. The
// stand-in is as strict as the documents: it refuses everything that is not in them, and says what it has refused.
//
// Ownership: a call's goroutine calls its methods. The platform's lock guards the calls whose owner was asked about
// them.
package platform
