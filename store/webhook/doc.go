// Package webhook tells other systems of finished calls: it posts their records, signed, from the store's outbox.
//
//	store: record and item in one transaction ─▶ outbox ─▶ worker of one receiver ─▶ POST ─▶ 2xx: the item is deleted
//	                                                ▲                                 └────▶ else: it comes again, later
//	                                                └─────────────────────────────────────────┘
//
// Nothing here is on a call's path: a call's end is a row in the database, and everything else is done from there.
//
// # Decisions
//
// An item is delivered at least once, with the same id each time. It is deleted after a 2xx only, or when it is given
// up: after Hook.GiveUp, or at once where the receiver says 410 Gone. Tests: TestDeliveredOnce, TestGivenUp.
//
// The items of one call keep their order, because the outbox gives the first of each call only. Test:
// TestOrderOfOneCall.
//
// Each receiver has a worker of its own, so a slow one delays no other. While a receiver fails, only one item is
// tried at a time, at growing intervals; an item that alone fails does not hold up those of other calls. Tests:
// TestReceiverThatFails, TestOneItemThatFails.
//
// Redirects are not followed: a signed record goes to the address in the configuration and to no other. An answer's
// body is not kept. Test: TestHostileReceivers.
package webhook
