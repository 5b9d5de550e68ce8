// Package opus decodes Opus (RFC 6716) to the samples of a telephone and encodes them: mono, 8 kHz, 16 bits. It knows
// nothing of RTP.
//
// The codec is github.com/thesyncim/gopus. Packets come from strangers, so a panic in it becomes ErrBroken, and the
// value that had it is used no more. Tests: TestPanicIsAnError, FuzzDecode.
//
// Complexity is 1, the highest at which the encoder allocates nothing. Test: TestAllocations.
package opus
