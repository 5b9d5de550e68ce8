// Package latch learns which source a side's RTP comes from, and keeps to it (symmetric RTP,
// RFC 4961). It opens no socket and reads no clock.
//
// # Decisions
//
// A source of RTP proves itself. Only the source that the SDP names is accepted at once. Any
// other one must be believed, and send some packets in a row. Learning ends 10 s after an offer,
// an answer or the start; only listed sources may be learned later.
// Held by TestLatch, TestLatchDescribe.
//
// A locked source is kept together with its SSRC. So a spoofer of the address must also match
// the SSRC or hit a silence. A stream that was replaced, and goes on, has its place back.
// Held by TestLatchUnderAttack, and by TestInjectionBesideTheStream and TestInjectionInAPause
// in media.
//
// A former peer is refused for 2 s after a change, because both peers may be behind one address.
// Held by TestLatchRefusesTheFormerSourceForAWhile.
package latch
