// Package receipt keeps a receipt of each statement that a caller was told (record.Told): a signed line of a file, in
// which each line has the hash of the one before. So a line that was changed, or that is missing between two others,
// is found. With a hash that was kept elsewhere (Chain.Head), a missing end is found, too.
//
// # Files
//
// A directory has the node's key, and segments: one for each UTC day with receipts, named by the number of its first
// receipt. A segment's first line has the public key, and the number and the hash after which it continues. So old
// segments can be removed, and the rest can still be verified. Tests: TestPurge, TestVerifyFindsEachChange.
//
// A line is a JSON object whose last member is sig, the Ed25519 signature of the line's bytes before `,"sig":`, in
// base64. The hash of a line is the SHA-256 of its bytes without the line feed. A program that verifies
// takes the bytes as they are, and needs no canonical form of JSON.
//
// # Decisions
//
// A receipt has the call's id and no number, so an erasure does not change it.
//
// Write returns when its line is on the disk. Callers that come during a write share the next one and its fsync. Test:
// TestWritersShareAnFsync.
//
// A kill leaves at most a torn end, which Write has not confirmed to any caller. The next writer cuts it off.
// Tests: TestTornEnd, TestFullDisk.
//
// Each commit locks the directory, and reads the end of the chain again if another process has written. So in an
// upgrade the two processes need no hand-over. Test: TestTwoProcesses.
package receipt
