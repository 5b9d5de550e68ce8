// Package standin holds the code that the stand-ins for platforms share outside SIP: an HTTP API with its token, its
// faults and its checks of bodies, the objects and calls behind it, and the requests that a platform sends.
//
//	Server   the SIP agent and the HTTP API, which start and end together
//	API      routes, and the words of one platform
//	Shape    which members a JSON object may have, and of which kind
//	Table    objects by id
//	Ask      one request to a webhook, with a bounded answer
//
// It is a separate package because only platforms with an API need it: package sim is SIP and RTP, and can be used
// without it.
package standin
