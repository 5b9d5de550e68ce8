// Package snapshot has the state of a call as plain data: what the process after this one
// needs to go on with it. It is written to the store's journal, or handed over.
//
// # Decisions
//
// The fields have numbers, so a process reads what it knows. A number says in which format a state is written: one of
// another format is not read. TestForms, TestEncodeAll, TestEncode.
//
// Each part of a call has a section. What is saved is restored, which a test holds field by field, so that a new field
// is one line here where the part embeds its section. TestStateIsRestored in calltest.
//
// Peers and routes are named, because the next process has a configuration of its own.
// TestRouteIsKnownAgain in calltest.
//
// Texts of messages are kept only while somebody waits for an answer to them.
// TestNoteIsSmall in calltest.
//
// Times are the wall clock's, and beside them the machine's monotonic ones: setting the clock
// while no process is there ends no call. TestRebase, and TestClockSetForth and
// TestClockSetBack in calltest.
//
// States are written often and read hardly ever. So they are written without reflection, in
// room that is used again (Sheet), and read by a library. What a file has is no state, or one
// whose parts can be made. TestEncode, FuzzDecode, and TestCheckpointAllocatesLittle in calltest.
package snapshot
