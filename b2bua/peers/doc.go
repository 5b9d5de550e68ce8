// Package peers holds the trunks and targets of the configuration in the form that calls
// use. It recognises senders, checks their credentials, finds the route of a call, and
// limits the calls of each peer.
//
// # Decisions
//
// Trunks, targets and routes are a Snapshot of one configuration that never changes. A
// reload makes another Snapshot, and a call keeps the one that it began with. The counts
// of open calls are stored by name, outside it, and outlive reloads. TestReloadKeepsRate
// here, and by TestReloadKeepsCounts and TestReloadDuringSetup in calltest.
//
// A target that calls is a trunk, and a trunk that is called is a target. The code that recognises senders reads a
// Caller, the code that dials reads a Dial, and each of these is made from either section by one function. Calls
// distinguish trunks and targets only in their record. TestEveryKeyReachesCalls here and TestPlacedCallsCount in
// calltest.
//
// A target's caller identity is trusted, because it could not show its agent's number
// otherwise. It has the caps of a trunk that configures none, and the called trunk's caps
// apply. TestOtherRoleKeepsDefaults.
//
// No trunk can take all set-ups or ports: half of them are reserved for the trunks, in
// equal parts, and the rest is for trunks that need more. Capacity decides before
// anything is allocated. TestShares here and TestNeighbours in calltest.
//
// A place that calls wait for never becomes free: the call that gives it back hands it to the first waiting call, under
// the lock that counts the places. So a new call can't overtake, calls do not poll, and one call is woken for one
// place. A call that ends before it uses its place gives it back in the same way. Only a rate limit or a circuit's
// pause makes room by time, and there is one timer for that. TestQueueOrder here, and TestQueueInOneInstant in
// calltest.
//
// The limits for numbers are checked once a call has its record, because fraud must be
// visible there. Their memory is bounded by the open calls (numbers) or fixed (Rates).
// TestRates here and TestLimitsOfNumbers in calltest.
//
// Credentials are valid for one called number. The uri in the credentials names the number. If the uri has only a host,
// the nonce stands for the number: it was made for the number that the challenged request called. Hosts are not
// compared if there is a user, because proxies rewrite them and no route depends on them. TestSameResource here and
// TestCredentialsForAnotherNumber in calltest.
//
// Checking unknown users takes as long as checking known ones, and a failure counts
// against the holder of the nonce (package message), so strangers can neither find out
// users nor lock out a trunk.
package peers
