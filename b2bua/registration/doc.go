// Package registration keeps this server registered at carriers and PBXs (RFC 3261
// section 10.2, as a user agent), so that the calls of a trunk find it.
//
//	Clients ── one client for each trunk with `register`, a goroutine
//	   client ── Machine.Step(now, Input) → effects; a Wire sends what it wants sent
//
// # Decisions
//
// A registration is a [Machine] without I/O, as a leg is: it gets inputs, gives effects, and
// its deadlines are data. Held by the tests of the Machine, which use plain values.
//
// The Contact has a token of the trunk as its user, keyed like a tag and the same after a
// restart. So a call that comes for it from the registrar's address belongs to that trunk,
// also where two trunks register at the same place, and a new process replaces the binding
// of the one before instead of adding one. Held by TestRegisteredTrunkIsCalled in calltest.
//
// Registrars are tried in turn, one at a time. If none takes the registration, the next round
// waits as RFC 5626 section 4.5 says: 30 s, doubled with each failure, up to 30 minutes, and of that a random part
// from half to all. A binding that was granted counts until it ends, also while its renewal fails.
//
// A registration is renewed at 75 to 85 % of what was granted, by chance, so that trunks do not
// renew at the same moment.
//
// The flow is the connection, or the way through a NAT that a datagram has opened. A connection
// that breaks is replaced at once, because calls come over it (RFC 5626 section 4.4), but not
// within 2 s of the last try; one that breaks before the answer is a failure. Over UDP an
// OPTIONS without any answer means the same.
//
// At a stop the binding is removed. An upgrade, a kill and the start after them leave it: the
// next process renews it. A client that replaces another starts when that one has left: both have
// the same Contact, and a late removal would remove the new binding. Held by
// TestReloadOfRegistration in calltest.
//
// Admission is told where the binding is when that changes, and when it ends. A stop
// is not told: a call that has crossed the removal gets a refusal, and not silence.
package registration
