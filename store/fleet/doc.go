// Package fleet is what nodes share: a PostgreSQL database with the records of all of them, and with leases of permits,
// by which max_calls and max_cps hold for all nodes together.
//
//	store (SQLite) ─ outbox ─▶ drain ─ COPY, INSERT … ON CONFLICT ─▶ flowbridge_calls ─▶ Reader: /api/cdrs?fleet=true
//	admission ◀─ Allot, Demands ─▶ permits ─ every 2 s ─────────────▶ flowbridge_leases, flowbridge_nodes
//
// Words: a member is a node that is in the database's list of nodes. A cap is a limit of a trunk or target. A permit is
// one call, or one call per second, of a cap. A lease is a node's permits until a moment. A lapse is a time without a
// lease in force.
//
// # Ownership
//
// Two goroutines, drain and renew, have a connection each. Nothing on a call's path waits for them: the store has the
// records first, and the admission has this node's permits, with the time when they end.
//
// # Decisions
//
// A record is written as often as it changes, by its call's id: to send it twice changes nothing. So an item leaves the
// outbox only after the database's commit, and no crash loses or doubles a record.
// Tests: TestDrainAway, and TestFleetKill in e2e.
//
// The database's clock ends leases, and each node's monotonic clock ends its own use of them some seconds earlier. It
// counts from before the request. So nobody uses permits that others may have, as long as clocks advance alike.
// Test: TestModel.
//
// A node gives permits back in two steps: it uses fewer, then it says so. It never says fewer than the calls it has.
//
// After a lapse, and at its start, a node takes no more than its equal share until every other one had the time to say
// what it has.
// Test: TestModel.
//
// A record that the database refuses is set aside alone. A whole batch that is refused means the database.
// Tests: TestDrainRefused, TestDrainAllRefused.
package fleet
