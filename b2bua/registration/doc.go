// Package registration keeps this server registered at carriers and PBXs (RFC 3261
// section 10.2, as a user agent), so that the calls of a trunk reach it.
//
//	Clients ── one client for each trunk with `register`, a goroutine
//	   client ── Machine.Step(now, Input) → effects; a Wire sends what it wants sent
//
// # Decisions
//
// A registration is a [Machine] without I/O, like a leg: it gets inputs and returns effects, and says when its next
// deadline is. So the tests of the Machine use plain values.
//
// The user part of the Contact is a token of the trunk, made with the server's key like a tag, so that it is the same
// after a restart. A call from the registrar's address to that Contact belongs to the trunk, even if two trunks
// register at the same place. And a new process replaces the binding of the old process instead of adding another.
// TestRegisteredTrunkIsCalled in calltest checks this.
//
// Registrars are tried one after the other. If none accepts the registration, the next round waits as in RFC 5626
// section 4.5: 30 s, doubled with each failure, up to 30 minutes, and of that a random part between half and all. A
// granted binding counts until it ends, even while its renewal fails.
//
// A registration is renewed after a random 75 to 85 % of the granted time, so that trunks
// do not renew at the same moment.
//
// Calls come over the connection to the registrar, or through the NAT binding that our datagrams keep open. A
// connection that breaks is replaced at once (RFC 5626 section 4.4), but not within 2 s of the last try. A connection
// that breaks before the answer is a failure. Over UDP, an OPTIONS without an answer is handled like a broken
// connection.
//
// When the server stops, the binding is removed. An upgrade or a crash leaves it, and the next process renews it. A
// client that replaces another client starts when that one has left: both have the same Contact, and a late removal
// would remove the new binding. TestReloadOfRegistration in calltest checks this.
//
// Admission is told of each change and of the end of a binding. It is not told of a removal at the server's stop, so
// that a call that crosses the removal gets a refusal instead of no answer.
package registration
