// Package snapshot has the state of a call as plain data, with everything that the next
// process needs to continue the call. The state is written to the store's journal, or
// handed over.
//
// # Decisions
//
// The fields have numbers, so a process can skip fields that it does not know. A state has the number of its format,
// and a state in another format is not read. TestForms, TestEncodeAll, TestEncode.
//
// Each part of a call has a section. A test checks field by field that everything that is saved is restored. If the
// part embeds its section, a new field is only one line here. TestStateIsRestored in calltest.
//
// Peers and routes are stored by name, because the next process has its own
// configuration. TestRouteIsKnownAgain in calltest.
//
// Texts of messages are stored only while a party waits for their answer. TestNoteIsSmall
// in calltest.
//
// Times are stored by the wall clock, together with the machine's monotonic time, so that
// setting the clock while no process runs ends no call. TestRebase, and TestClockSetForth
// and TestClockSetBack in calltest.
//
// States are written often and rarely read. So writing uses no reflection and reuses memory (Sheet), while a library
// reads them. Decode accepts only states whose parts can be made. TestEncode, FuzzDecode, and
// TestCheckpointAllocatesLittle in calltest.
package snapshot
