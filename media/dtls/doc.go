// Package dtls agrees on the SRTP keys of a side in a DTLS handshake on the side's RTP ports (DTLS-SRTP, RFC 5763, RFC
// 5764).
//
//	SDP: fingerprints, roles ──▶ Identity.Agree ──▶ media.Crypto, for Session.SetCrypto
//	                                 ▲   │
//	          media.Datagrams.Received   Send
//
// pion/dtls runs the handshake. This package supplies our certificate, the check of the peer's certificate against the
// fingerprints in its SDP, and the SRTP profiles, and it extracts the keys.
//
// # Decisions
//
// The certificate is derived from the node's key, so it is always the same. A process that continues a call has the
// fingerprint that the peer knows, and needs no new handshake. TestIdentityIsOfItsKey checks this.
//
// A handshake only yields keys. After that, DTLS is not needed any more, and SRTP works as with keys in SDP, even after
// an upgrade. We never close the association: peers take a close_notify for the end of the call. The server of a
// handshake answers repeated last messages for a while, because its own last ones may have been lost. Test:
// TestLostPackets.
//
// Packets of strangers never end a handshake. A handshake runs on its own goroutine, for at most Patience, and ends
// with the media session. The library drops unreadable packets; if it gives up anyway, the handshake is restarted.
// Tests: TestJunk, TestHandshakeEndsWithItsSession.
package dtls
