// Package fleet connects a node to the PostgreSQL database that nodes share. It has the records of all nodes and their
// heartbeats. With the heartbeats, max_calls and max_cps apply to all nodes together.
//
//	store (SQLite) ─ outbox ─▶ drain ─ COPY, INSERT … ON CONFLICT ─▶ flowbridge_calls ─▶ Reader: /api/cdrs?fleet=true
//	registrar ─▶ KeepBindings ─▶ waiting ─ soon ─▶ flowbridge_registrations ─▶ Bindings: reach, the seat's next owner
//	admission ◀─ Share ─ census ◀─ every 2 s ─ beat ───────────────▶ flowbridge_nodes ─▶ Reader: flowbridge fleet
//
// Words: a member is a node in the database's list of nodes. A live member has had a heartbeat within 6 s. A place is a
// node's number among the live members, in the order of their names. It determines the node's part of a cap.
//
// # Ownership
//
// Two goroutines, drain and beat, have a connection each. A call never waits for them: the store already has the
// records, and the admission already has this node's place.
//
// # Decisions
//
// A record is written, by its call's id, as often as it changes: sending it twice changes nothing. So an item leaves
// the outbox only after the database's commit, and no crash loses or doubles a record.
// Tests: TestDrainAway, and TestFleetKill in e2e.
//
// Only the database's clock decides who is live, so the clocks of nodes do not matter. No state is kept on behalf of a
// node: a part of a cap is computed from a list of names. A row counts only while it is fresh and says that its node
// takes calls. Tests: TestDeathFreesItsPart, TestImplausibleRows, TestRowsWithoutCalls.
//
// A node whose own last heartbeat is late knows that the others' may be late for the same reason: the database was
// away, its clock has jumped, or this machine stood still. For 6 s the node does not believe that there are fewer
// nodes.
// Tests: TestOutageMakesNobodyVanish, TestDatabaseClock.
//
// A node that can't reach the database keeps its last place for any length of time, because usually all nodes have lost
// the database. If only this node has, the others take its part, because a node that is cut off looks like a dead one.
// If k of n nodes are cut off, the parts add up to 1 + k/n caps. Tests: TestAway, TestCutOff.
//
// The registrations at a node are one row per holder, which only that node writes. The last REGISTER counts, and a node
// need not ask other nodes before it answers a REGISTER. Rows of a dead node count until they expire. Tests:
// TestBindingsOfOtherNodes, TestBindingsWait, TestBindingsOfSeats.
//
// If the database refuses a record, only that record is set aside. If it refuses a whole batch, the database is at
// fault. Tests: TestDrainRefused, TestDrainAllRefused.
package fleet
