// Package peers has the trunks and targets of the configuration as calls use them: how
// senders are recognised, which credentials they show, which route a call matches, and how
// many calls each may have.
//
// # Decisions
//
// Trunks, targets and routes are a Snapshot of one configuration that never changes. A
// reload makes another, and a call keeps the one that it began with. The counts of open
// calls are kept by name beside it and outlive reloads. Held by TestReloadKeepsRate here,
// and by TestReloadKeepsCounts and TestReloadDuringSetup in calltest.
//
// A target that calls is a trunk, and a trunk that is called is a target. What recognises
// senders and what dials knows no third kind: both read a Caller or a Dial, which each
// kind of section fills in one function. Calls tell the kinds apart only where they write
// their record. Held by TestEveryKeyReachesCalls here and TestPlacedCallsCount in calltest.
//
// A target's caller identity is trusted, because it could not show its agent's number
// otherwise. It has the caps of a trunk without any, and the called trunk's apply. Held
// by TestOtherRoleKeepsDefaults.
//
// No trunk can take all set-ups or ports: half of them are kept for the trunks, in equal
// parts, and the rest is for the trunks that need more. Capacity decides before anything
// is allocated. Held by TestShares here and TestNeighbours in calltest.
//
// A place that calls wait for is never free: the call that gives it back hands it to the first of them, under the lock
// that counts the places. So a call that comes at the right moment does not overtake, no call polls, and one call is
// woken for one place. A call that leaves with a place that it has not looked at gives it back the same way. Time alone
// makes room at a rate or after a circuit's pause, for which there is one timer. Held by TestQueueOrder here, and by
// TestQueueInOneInstant in calltest.
//
// The limits for numbers are judged when a call has its record, because fraud must be
// seen there. What is kept for them is bounded by the open calls (numbers) or fixed
// (Rates). Held by TestRates here and TestLimitsOfNumbers in calltest.
//
// Credentials are for one number. Their uri names it, or the nonce does where the uri has
// only the host: it was given for what the challenged request called. Hosts are not
// compared where there is a user, because proxies rewrite them and no route depends on
// them. Held by TestSameResource here and TestCredentialsForAnotherNumber in calltest.
//
// Unknown users take as long to check as known ones, and a failure counts against the
// holder of the nonce (package message), so strangers can neither find users nor lock a
// trunk out.
package peers
