// Package store keeps what outlives the process: the journal of live calls and the records of finished ones, in one
// SQLite file; and ladders, in another. It imports no other package of this module.
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
// pending and is tried again. What Close can't write goes to a file beside the database, which the next Open takes up. A
// file that was removed under the process is put back; another one in its place is left alone.
// Tests: TestManyWriters, TestDiskFull, TestFileRemoved, TestOnlyFileRemoved, TestFileReplaced, TestFileDamaged.
//
// A record is live until it is committed, so the admin API finds a call at any moment. Put returns after the commit.
// Test: TestKilled.
//
// The journal has an entry at the start, at dialling and at the answer. The next start closes the calls that a SIGKILL
// left open as interrupted. Nothing waits for the journal: a process that is killed within 20 ms, before the first entry
// is committed, leaves no trace of the call.
// Tests: TestInterrupted, TestKilled.
//
// The outbox has an item for each consumer and each change of a finished call, written in the transaction of that change.
// An item names the call, and the consumer reads the record: so it sees the newest state. Without consumers it costs nothing.
// Tests: TestOutbox, TestOutboxIsWrittenWithTheRecord.
//
// A list is a walk through one index that has all that can be asked for, and an export is list after list: no read is open
// for longer than a page. Tests: TestSearchUsesIndexes, TestEach.
//
// Ladders have a file and a writer of their own (ladders.go), so that they neither delay records nor can damage them. They
// are dropped where records wait. A row is never changed, and the oldest have the smallest numbers, so they are removed
// without an index of times. The version of the only table is in user_version.
// Tests: TestLaddersFullDisk, TestLaddersOfNoUse, TestLaddersPurge.
//
// goose stays at v3.27. Newer versions need a newer SQLite driver than the pinned one.
package store
