// Package peers holds the trunks and targets of the configuration in the form that calls
// use. It recognises senders, checks their credentials, finds the route of a call, and
// limits the calls of each peer.
//
// # Decisions
//
// Trunks, targets and routes form a Snapshot of one configuration, which never changes. A reload creates another
// Snapshot, and a call keeps the Snapshot that it started with. The counts of live calls are stored by name, outside
// the Snapshot, and outlive reloads. TestReloadKeepsRate here, and TestReloadKeepsCounts and TestReloadDuringSetup in
// calltest, check this.
//
// A target that calls is treated as a trunk, and a trunk that is called is treated as a target. The code that
// recognises senders reads a Caller, the code that dials reads a Dial, and one function makes each of these from either
// section of the configuration. Calls distinguish trunks and targets only in their record. TestEveryKeyReachesCalls
// here and TestPlacedCallsCount in calltest check this.
//
// The caller's number in a call from a target is trusted, because the target could not show its agent's number
// otherwise. A target that calls has the limits of a trunk that configures none, and the limits of the called trunk
// apply as well. TestOtherRoleKeepsDefaults checks this.
//
// No trunk can take all set-ups or ports: half of them are reserved for the trunks, in equal parts, and the rest is for
// trunks that need more. Capacity decides before anything is allocated. TestShares here and TestNeighbours in calltest
// check this.
//
// If calls wait for a place, the place never becomes free: the call that returns it hands it to the first waiting call,
// under the lock that counts the places. So a new call can't overtake, calls do not poll, and one call is woken for one
// place. A call that ends before it uses its place returns it in the same way. Only a rate limit or a circuit breaker's
// pause makes room as time passes, and there is one timer for that. TestQueueOrder here, and TestQueueInOneInstant in
// calltest, check this.
//
// The limits for numbers are checked once a call has its record, so that attempted fraud is visible in the records. The
// memory for these limits is bounded by the live calls (numbers) or fixed (Rates). TestRates here and
// TestLimitsOfNumbers in calltest check this.
//
// Credentials are valid only for one called number, which the uri in the credentials names. If the uri has only a host,
// the nonce decides: it was made for the number that the challenged request called. If the uri has a user, hosts are
// not compared, because proxies rewrite them and no route depends on them. TestSameResource here and
// TestCredentialsForAnotherNumber in calltest check this.
//
// Checking an unknown user takes as long as checking a known one, and a failure counts against the address that the
// nonce was given to (package message), so strangers can neither find out user names nor lock out a trunk.
package peers
