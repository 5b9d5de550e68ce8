// Package store stores the data that outlives the process. A SQLite file has the records of finished calls, the outbox,
// the registrations and the signalling key. Beside it are a copy of the key (.key) and the journal of live calls, in a
// pair of files. Ladders are in another SQLite file. Package record defines the contents.
//
//	Journal ─▶ entry ─▶ journal's file ─▶ the next Open
//	                          ▲ over
//	           ┌─────────┐    │         ┌────────┐  one transaction   ┌───────┐
//	Put ─────▶ │ pending │ ─ all of it ▶│ writer │ ─────────────────▶ │ calls │
//	  ▲        └─────────┘              └────────┘                    └───┬───┘
//	  └─────────────────────────────────────┘ committed                   │ List, Get
//	                                                                      ▼ (connections of their own)
//
// Words: a [record.Record] is the CDR of one call. The journal has two things of a live call: its record so far, and
// its state, from which it can be continued. A finished call has its record in the table calls, where it no longer
// changes. Of the calls that a killed process left, Open passes on those with a state ([Found.Left]) and closes the
// others as interrupted.
//
// # Ownership
//
// One goroutine, the writer, owns the writing connection. The queue's lock guards the pending work. It is held for a
// few map operations and never during I/O; the same holds for the journal's lock. A call that adds a journal entry
// writes it, together with the entries that other calls have added by then. Only one process may write a file (a lock
// on path+".lock"); OpenRead reads beside it.
//
// # Decisions
//
// The writer commits everything that is pending at once. After a transaction it waits 20 ms for each of its records, at
// most 500 ms: a busy process writes a hundred calls at once, which share the pages they change (BenchmarkBusy), and a
// single record is committed at once. Records that can't be written (disk full) stay pending, and the write is retried.
// Records that Close can't write go to a file beside the database, which the next Open reads. A file that was removed
// under the process is put back; if another file is in its place, that file is left as it is. A damaged file is set
// aside (damaged.go), and a new one starts with the records of finished calls that the journal's files still have
// (damaged_journal.go). An operator restores the rest with SQLite's own tools. A reader may still have the old file
// open, so the writer checks the file when a reader reports damage. Tests: TestManyWriters, TestDiskFull,
// TestFileRemoved, TestOnlyFileRemoved, TestFileReplaced, TestFileDamaged, TestDamagedRecordsAreInTheJournal,
// TestLateWordOfDamage.
//
// A record is live until it is committed, so the admin API finds a call at any moment. Put returns after the commit,
// and Keep reports it. Until then the record is in the journal, so a kill does not lose a finished call. Tests:
// TestKilled, TestJournalOfFinishedCalls.
//
// States are sealed (AES-GCM) for their call, because they have its SRTP keys. If a state can't be opened, only that
// call is affected. Calls that a killed process left stay in the journal's files until they are over. The next process
// continues these files, so a second kill loses no calls. The messages that a finished call still owes its peers are in
// a separate entry, which outlives the record's entry. Tests: TestLeft, TestLeftDamaged, TestLeftInTwoFiles.
//
// A call has a journal entry at the start, at dialling, at the answer, and at each later change: appended to a file,
// with a checksum, in one write and some microseconds. It is in the file when Journal returns or, if another call is
// writing, right after that. So a slow disk delays one call, and a SIGKILL loses at most the entries added during that
// call's write. A power failure may lose the last seconds, as with the database, because entries are not synced. When
// the record of a call is committed, its end becomes an entry, too. At 32 MB the live calls are copied to the other
// file, which is synced, and the first one is removed. A reader skips entries that are damaged or can't be read. Each
// entry has a kind, so that other data of a call can outlive the process in the same way. The file is written and not
// mapped, although copying to a mapping costs less: if a file system is frozen for a snapshot, or its disk hangs, a
// page blocks the thread that touches it, with its processor, and the collector's next cycle stops all others. A write
// blocks only its call. SQLite's index of its log is mapped and has this weakness. So before each use, a system call
// checks that the file system takes changes (disk.go).
//
// The machine's own clock, which is noted with the wall clock's time (machine.go), tells how long an interrupted call
// lasted and when a binding ends. Tests: TestInterruptedLastsUntilAlive, TestInterruptedLastsUntilTheBeat,
// TestBindingsClockSet.
//
// The table live is no longer used. Tests: TestJournal…, FuzzJournal, TestInterrupted, TestKilled, BenchmarkJournal.
//
// While the disk is full, entries wait in memory. After a kill in that time, calls are restored from older states. A
// process that replaces this one does not start if a full disk has no room for its journal's file. Tests:
// TestJournalWithoutADisk, TestJournalLeavesAFile, TestJournalBesideAnotherOnAFullDisk.
//
// A disk that takes no writes does not stop calls. If the database can't be opened for writing, the store starts
// without it (without.go): it reads the key, continues the journal's calls, and opens the database once it can. Records
// wait in memory until then. Without the key or its copy, the store does not start. By then readers have the database
// open, so no other code in the process may close it: that would drop SQLite's locks. Tests:
// TestStartOnADiskThatTakesNothing, TestFirstStartOnADiskThatTakesNothing, TestLocksOfADatabaseThatIsOpenedLate.
//
// The outbox has an item for each consumer and each change of a finished call, written in the transaction of that
// change. An item names the call, and the consumer reads the call's record, so the consumer sees the newest state.
// Without consumers the outbox costs nothing. Tests: TestOutbox, TestOutboxIsWrittenWithTheRecord.
//
// A list walks through one index that covers every filter, and an export is one list after another: no read stays open
// for longer than a page. Tests: TestSearchUsesIndexes, TestEach.
//
// Ladders have a separate file and a separate writer (ladders.go), so that they neither delay nor damage records. If a
// ladder would have to wait, it is dropped. A row never changes, and the oldest rows have the smallest numbers, so they
// are removed without an index of times. The version of the only table is in user_version. Tests: TestLaddersFullDisk,
// TestLaddersOfNoUse, TestLaddersPurge.
//
// SQLite's pages have reserved memory (pagecache.go), because SQLite's allocator returned blocks to the system and took
// them again at nearly each insert. Records are written with the driver's statements, because package sql would double
// the allocations. Tests: TestReservedPages, BenchmarkBusy.
//
// goose stays at v3.27. Newer versions need a newer SQLite driver than the pinned one.
package store
