// Package latch learns which source a side's RTP comes from, and locks on that source (symmetric RTP, RFC 4961). It
// opens no socket and reads no clock.
//
// # Decisions
//
// A source of RTP must prove itself. Only the source in the SDP is accepted at once. Any other source must be
// believed, and must send several packets in a row. Learning ends 10 s after an offer, an answer or the start; after
// that only listed sources may be learned. Tests: TestLatch, TestLatchDescribe.
//
// A locked source is kept together with its SSRC. So an attacker who spoofs the address must also match the SSRC, or
// send during a silence. A replaced stream that continues becomes the locked stream again. Tests:
// TestLatchUnderAttack, and in media TestInjectionBesideTheStream and TestInjectionInAPause.
//
// A former peer is refused for 2 s after a change, because both peers may be behind one address. Test:
// TestLatchRefusesTheFormerSourceForAWhile.
package latch
