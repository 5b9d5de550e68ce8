// Package webhook tells other systems about finished calls: it posts their signed records from the store's outbox.
//
//	store: record and item in one transaction ─▶ outbox ─▶ worker of one receiver ─▶ POST ─▶ 2xx: the item is deleted
//	                                                ▲                                 └────▶ else: it comes again, later
//	                                                └─────────────────────────────────────────┘
//
// A call never waits for this package: a call's end is a row in the database, and everything else follows from there.
//
// # Decisions
//
// An item is delivered at least once, with the same id each time. It is deleted after a 2xx, or when it is given up:
// after Hook.GiveUp, or at once if the receiver answers 410 Gone. Tests: TestDeliveredOnce, TestGivenUp.
//
// The items of one call keep their order, because the outbox returns only the first item of each call. Test:
// TestOrderOfOneCall.
//
// Each receiver has its own worker, so a slow receiver does not delay the others. While a receiver fails, only one
// item is tried at a time, at growing intervals. If only one item fails, the items of other calls don't wait for it.
// Tests: TestReceiverThatFails, TestOneItemThatFails.
//
// Redirects are not followed: a signed record goes only to the address in the configuration. An answer's body is not
// kept. Test: TestHostileReceivers.
package webhook
