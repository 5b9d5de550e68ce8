// Package store keeps what outlives the process: the journal of live calls and the records of finished ones, in one
// SQLite file. It imports no other package of this module.
//
//	Journal ─▶ ┌─────────┐              ┌────────┐  one transaction   ┌────────────┐
//	           │ pending │ ─ all of it ▶│ writer │ ─────────────────▶ │ live calls │
//	Put ─────▶ └─────────┘              └────────┘                    └─────┬──────┘
//	  ▲                                     │ committed                     │ List, Get
//	  └─────────────────────────────────────┘                               ▼ (connections of their own)
//
// Words: a [Record] is the CDR of one call. A journalled call has its state so far in the table live. A finished call has
// its record in the table calls, where it does not change any more. Open closes the calls that a killed process left in
// the journal: they are interrupted.
//
// # Ownership
//
// One goroutine, the writer, owns the writing connection. The queue's lock guards what is pending. It is held for a few
// map operations and never during I/O. Only one process may write a file (a lock on path+".lock"); OpenRead reads beside
// it.
//
// # Decisions
//
// The writer commits everything that is pending at once, every 20 ms at the most. While one transaction commits, the
// next one collects, so the size of a transaction follows the load. An update that can't be written (disk full) stays
// pending and is tried again.
// Tests: TestManyWriters, TestDiskFull.
//
// A record is live until it is committed, so the admin API finds a call at any moment. Put returns after the commit.
// Test: TestKilled.
//
// The journal has an entry at the start, at dialling and at the answer. The next start closes the calls that a SIGKILL
// left open as interrupted. Nothing waits for the journal: a process that is killed within 20 ms, before the first entry
// is committed, leaves no trace of the call.
// Tests: TestInterrupted, TestKilled.
//
// goose stays at v3.27. Newer versions need a newer SQLite driver than the pinned one.
package store
