// Package store keeps what outlives the process: the journal of live calls and the records of finished ones, in one
// SQLite file.
//
//	Journal ─▶ ┌─────────┐              ┌────────┐  one transaction   ┌────────────┐
//	           │ pending │ ─ all of it ▶│ writer │ ─────────────────▶ │ live calls │
//	Put ─────▶ └─────────┘              └────────┘                    └─────┬──────┘
//	  ▲                                     │ committed                     │ List, Get
//	  └─────────────────────────────────────┘                               ▼ (connections of their own)
//
// Words: a Record is the CDR of one call. Journalled means that its state so far is in the table live; finished means
// that the record is in the table calls and will not change any more. Open closes what a killed process left in the
// journal: those calls are interrupted.
//
// Ownership: one goroutine, the writer, owns the writing connection. What is pending is guarded by the queue's lock,
// which is held for a few map operations and never during I/O. Only one process may write a file (a lock on
// path+".lock"); OpenRead reads beside it.
//
// The writer waits for no timer. While one transaction commits, the next one collects, so that its size follows the
// load. What cannot be written (disk full) stays pending and is tried again.
//
// The package imports nothing of this module.
package store
