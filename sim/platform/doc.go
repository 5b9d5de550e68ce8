// Package platform is a stand-in for any platform that can be described: which request it wants before a call, over
// which transport its agent is called, whom it lets in, and what its Request-URI and headers must have.
//
//	(under test) ── POST … ──▶ API, as described     {id}
//	(under test) ── INVITE ──▶ agent, as described   (user part: id, number or name; digest; secret header; SRTP)
//
// One engine serves all of them. What a platform documents is data (Descriptions), with its source. It is as strict as
// the documents: what they do not have is refused, with words that say what.
//
// Ownership: the goroutine of a call calls its methods. The platform's lock guards the calls whose owner is asked.
package platform
