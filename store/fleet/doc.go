// Package fleet is what nodes share: a PostgreSQL database with the records of all of them, and with their heartbeats,
// by which max_calls and max_cps hold for all nodes together.
//
//	store (SQLite) ─ outbox ─▶ drain ─ COPY, INSERT … ON CONFLICT ─▶ flowbridge_calls ─▶ Reader: /api/cdrs?fleet=true
//	registrar ─▶ KeepBindings ─▶ waiting ─ soon ─▶ flowbridge_registrations ─▶ Bindings: reach, the seat's next owner
//	admission ◀─ Share ─ census ◀─ every 2 s ─ beat ───────────────▶ flowbridge_nodes ─▶ Reader: flowbridge fleet
//
// Words: a member is a node that is in the database's list of nodes. A live one has had a heartbeat within 6 s. A place
// is a node's number among the live ones, in the order of their names: its part of a cap follows from it.
//
// # Ownership
//
// Two goroutines, drain and beat, have a connection each. Nothing on a call's path waits for them: the store has the
// records first, and the admission has this node's place.
//
// # Decisions
//
// A record is written as often as it changes, by its call's id: to send it twice changes nothing. So an item leaves the
// outbox only after the database's commit, and no crash loses or doubles a record.
// Tests: TestDrainAway, and TestFleetKill in e2e.
//
// Only the database's clock says who is live, so the clocks of nodes do not matter. Nobody keeps anything for a node: a
// part of a cap is arithmetic on a list of names, and no row can hold a part for longer than it is fresh, nor without
// saying that its node takes calls. Tests: TestDeathFreesItsPart, TestImplausibleRows, TestRowsWithoutCalls.
//
// A node whose own last heartbeat is late knows that the others' may be late for the same reason: the database was
// away, its clock has jumped, or this machine stood still. For 6 s it does not believe that there are fewer nodes.
// Tests: TestOutageMakesNobodyVanish, TestDatabaseClock.
//
// A node without the database keeps its last place, for as long as it takes: mostly all nodes are without it. If it is
// this node alone, the others take its part, because a node that is cut off looks like one that has died. Where k of n
// nodes are cut off, the parts add up to 1 + k/n caps.
// Tests: TestAway, TestCutOff.
//
// Who has registered at a node is a row for each holder, which only that node writes: the last REGISTER counts, and no
// node has to ask others before it answers one. Rows of a node that has died count until they end.
// Tests: TestBindingsOfOtherNodes, TestBindingsWait, TestBindingsOfSeats.
//
// A record that the database refuses is set aside alone. A whole batch that is refused means the database.
// Tests: TestDrainRefused, TestDrainAllRefused.
package fleet
