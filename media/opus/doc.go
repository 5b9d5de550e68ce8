// Package opus decodes Opus (RFC 6716) to the samples of a telephone and encodes them: mono, 8 kHz, 16 bits. It knows
// nothing of RTP.
//
// The codec is github.com/thesyncim/gopus. Packets come from strangers, so a panic in it becomes ErrBroken, and the
// value that had it is used no more. So does an access to memory that is not mapped: some of the codec is assembly,
// without the compiler's checks, and such a fault would end the process (debug.SetPanicOnFault, 13 ns for a call). The
// build tag purego would leave that assembly out, but also that of AES, SHA and GCM. Tests: TestPanicIsAnError,
// TestFaultIsAnError, FuzzDecode.
//
// Decoder and encoder are compared with libopus 1.3.1 by TestReference and TestSound.
//
// Complexity is 1, the highest complexity at which the encoder allocates nothing. TestAllocations checks this.
package opus
