// Package store keeps what outlives the process. The records of finished calls, the outbox, and who is registered here
// are in a SQLite file, with the signalling key. Beside it are the journal of live calls, in a pair of files, and a
// copy of the key (.key). Ladders are in another SQLite file. What they hold is in package record.
//
//	Journal ─▶ entry ─▶ journal's file ─▶ the next Open
//	                          ▲ over
//	           ┌─────────┐    │         ┌────────┐  one transaction   ┌───────┐
//	Put ─────▶ │ pending │ ─ all of it ▶│ writer │ ─────────────────▶ │ calls │
//	  ▲        └─────────┘              └────────┘                    └───┬───┘
//	  └─────────────────────────────────────┘ committed                   │ List, Get
//	                                                                      ▼ (connections of their own)
//
// Words: a [record.Record] is the CDR of one call. A journalled call has its record so far in the journal, and its
// state: what it needs to go on. A finished call has its record in the table calls, where it does not change any more.
// Open gives the calls that a killed process left with a state to the next one ([Found.Left]), and closes the others:
// they are interrupted.
//
// # Ownership
//
// One goroutine, the writer, owns the writing connection. The queue's lock guards what is pending. It is held for a few
// map operations and never during I/O. So is the journal's; the call that brings an entry writes it, and what others
// bring meanwhile. Only one process may write a file (a lock on path+".lock"); OpenRead reads beside
// it.
//
// # Decisions
//
// The writer commits everything that is pending at once. It waits 20 ms after a transaction for each of its records,
// 500 ms at the most: a busy process writes a hundred calls at once, which share the pages they change (BenchmarkBusy),
// and a single record is committed at once. What can't be written (disk full) stays pending and is tried again. What
// Close can't write goes to a file beside the database, which the next Open takes up. A file that was removed under the
// process is put back; another one in its place is left alone. A damaged one is set aside, and a new one begun
// (damaged.go) with the records of finished calls that the journal's files still have (damaged_journal.go). An operator
// brings back what else was in it, by SQLite's own means. A reader may still have the old file open, so its word that
// the file is damaged has the writer look through it. Tests: TestManyWriters, TestDiskFull, TestFileRemoved,
// TestOnlyFileRemoved, TestFileReplaced, TestFileDamaged, TestDamagedRecordsAreInTheJournal, TestLateWordOfDamage.
//
// A record is live until it is committed, so the admin API finds a call at any moment. Put returns after the commit,
// and Keep tells of it. Until then the record is in the journal, so a kill costs nothing of a call that has ended.
// Tests: TestKilled, TestJournalOfFinishedCalls.
//
// States are sealed (AES-GCM) for their call, because they have the keys of its SRTP. What cannot be opened costs that
// call its state alone. Calls that are left stay in the journal's files, with which the next process goes on, until
// they are over: a second kill loses none. What a finished call owes its peers has an entry of its own, which outlives
// that of its record. Tests: TestLeft, TestLeftDamaged, TestLeftInTwoFiles.
//
// The journal has an entry at the start, at dialling, at the answer, and at each later change: appended to a file, with
// a checksum, in one write and some microseconds. It is in the file when Journal returns, or, while another call
// writes, right after that. So a slow disk holds up one call, and a SIGKILL takes at most what came while that call was
// being written. A power failure may take the last seconds, as with the database: no entry is synced. The end of a call
// is an entry, too, when its record is committed. At 32 MB the live calls are copied to the other file and synced. The
// first one is removed. A reader passes over what is damaged, or can't be read. An entry has a kind: what else of a
// call is to outlive the process goes the same way. The file is written and not mapped, although to copy costs less:
// where a file system is frozen for a snapshot, or its disk hangs, a page keeps the thread that touches it and its
// processor, until the next cycle of the collector stops all the others. A write keeps its call. SQLite's index of its
// log is mapped, and has that weakness: so before each use, a system call finds out whether the file system takes
// changes (disk.go).
//
// What an interrupted call has lasted, and when a binding ends, is told by the machine's own clock, which is noted with
// the wall clock's time (machine.go). Tests: TestInterruptedLastsUntilAlive, TestInterruptedLastsUntilTheBeat,
// TestBindingsClockSet.
//
// The table live is not used any more. Tests: TestJournal…, FuzzJournal, TestInterrupted, TestKilled, BenchmarkJournal.
//
// A disk that is full takes no entry. They wait in memory until it does: a kill meanwhile restores the states of
// before. A process that replaces this one does not begin where a full disk has no file for its journal. Tests:
// TestJournalWithoutADisk, TestJournalLeavesAFile, TestJournalBesideAnotherOnAFullDisk.
//
// A disk that takes nothing keeps no process from its calls. Where the database can't be opened for writing, the store
// begins without it (without.go): it reads the key, goes on with the journal's calls, and opens the database once it
// can. Records wait in memory meanwhile. Without the key, or its copy, there is no start. Readers have the database
// open by then, so nothing else of the process may close it: that would take SQLite's locks. Tests:
// TestStartOnADiskThatTakesNothing, TestFirstStartOnADiskThatTakesNothing, TestLocksOfADatabaseThatIsOpenedLate.
//
// The outbox has an item for each consumer and each change of a finished call, written in the transaction of that
// change. An item names the call, and the consumer reads the record: so it sees the newest state. Without consumers it
// costs nothing. Tests: TestOutbox, TestOutboxIsWrittenWithTheRecord.
//
// A list is a walk through one index that has all that can be asked for, and an export is list after list: no read is
// open for longer than a page. Tests: TestSearchUsesIndexes, TestEach.
//
// Ladders have a file and a writer of their own (ladders.go), so that they neither delay records nor can damage them.
// They are dropped where records wait. A row is never changed, and the oldest have the smallest numbers, so they are
// removed without an index of times. The version of the only table is in user_version. Tests: TestLaddersFullDisk,
// TestLaddersOfNoUse, TestLaddersPurge.
//
// SQLite's pages have memory of their own (pagecache.go): its allocator gave blocks back to the system, and took them
// again, with nearly each insert. Records are written by the driver's statements, because package sql allocates as much
// again. Tests: TestReservedPages, BenchmarkBusy.
//
// goose stays at v3.27. Newer versions need a newer SQLite driver than the pinned one.
package store
