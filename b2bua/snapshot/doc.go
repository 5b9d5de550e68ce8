// Package snapshot holds the state of a call as plain data, with everything that a new process needs to continue the
// call. The state is written to the store's journal, or handed over.
//
// # Decisions
//
// The fields have numbers, so a process can skip fields that it does not know. A state contains the number of its
// format, and states in another format are not read. TestForms, TestEncodeAll and TestEncode check this.
//
// Each part of a call has a section. A test checks field by field that everything that is saved is restored. If the
// part embeds its section, a new field is only one line here. TestStateIsRestored in calltest.
//
// Peers and routes are stored by name, because the next process has its own configuration. TestRouteIsKnownAgain in
// calltest checks this.
//
// The text of a message is stored only while one side waits for its answer. TestNoteIsSmall in calltest checks this.
//
// Times are stored by the wall clock, together with the machine's monotonic time, so that no call ends because the
// clock is set while no process runs. TestRebase here, and TestClockSetForth and TestClockSetBack in calltest, check
// this.
//
// States are written often and rarely read. So writing uses no reflection and reuses memory (Sheet), while a library
// reads them. Decode accepts only states whose parts can be made. TestEncode, FuzzDecode, and
// TestCheckpointAllocatesLittle in calltest.
package snapshot
