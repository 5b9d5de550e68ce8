// Package registration keeps this server registered at carriers and PBXs (RFC 3261
// section 10.2, as a user agent), so that the calls of a trunk reach it.
//
//	Clients ── one client for each trunk with `register`, a goroutine
//	   client ── Machine.Step(now, Input) → effects; a Wire sends what it wants sent
//
// # Decisions
//
// A registration is a [Machine] without I/O, like a leg: it gets inputs, returns effects,
// and its deadlines are data. So the tests of the Machine use plain values.
//
// The Contact has a token of the trunk as its user, keyed like a tag and the same after a
// restart. So a call that comes for it from the registrar's address belongs to that
// trunk, even if two trunks register at the same place. And a new process replaces the
// binding of the old one instead of adding one. TestRegisteredTrunkIsCalled in calltest.
//
// Registrars are tried in turn, one at a time. If none accepts the registration, the next round waits as in RFC 5626
// section 4.5: 30 s, doubled with each failure, up to 30 minutes, and of that a random part between half and all. A
// granted binding counts until it ends, even while its renewal fails.
//
// A registration is renewed after a random 75 to 85 % of the granted time, so that trunks
// do not renew at the same moment.
//
// The flow is the connection, or the way through a NAT that a datagram has opened. A
// connection that breaks is replaced at once, because calls come over it (RFC 5626
// section 4.4), but not within 2 s of the last try. A connection that breaks before the
// answer is a failure. Over UDP an unanswered OPTIONS means the same.
//
// At a stop the binding is removed. An upgrade or a crash leaves it, and the next process renews it. A client that
// replaces another one starts when that has left: both have the same Contact, and a late removal would remove the new
// binding. TestReloadOfRegistration in calltest.
//
// Admission learns of each change and of the end of a binding. It does not learn of a stop, so that a call that
// crosses the removal gets a refusal, and not silence.
package registration
