// Package dtls agrees on the SRTP keys of a side by a DTLS handshake on the ports of its
// RTP (DTLS-SRTP, RFC 5763, RFC 5764).
//
//	SDP: fingerprints, roles ──▶ Identity.Agree ──▶ media.Crypto, for Session.SetCrypto
//	                                 ▲   │
//	          media.Datagrams.Received   Send
//
// The handshake is pion/dtls. Here is what it is told and what comes of it: our
// certificate, the check of the peer's by the fingerprints of its SDP, the SRTP profiles,
// and the keys.
//
// # Decisions
//
// The certificate is made of the node's key, and always the same. So a process that goes on
// with a call says the fingerprint that the peer knows, and needs no new handshake for that.
// Held by TestIdentityIsOfItsKey.
//
// A handshake only makes keys. Once they are there, nothing of DTLS is needed, and SRTP goes on as
// with keys in SDP, also in another process. We never close the association: peers take a
// close_notify for the end of the call. The server of a handshake answers repeated last messages
// for a while, as its own last ones may have been lost. Held by TestLostPackets.
//
// What does not come from the peer ends no handshake. It runs on a goroutine of its own, for
// Patience at most, and ends with the media session. What can't be read is dropped by the library;
// where it gives up all the same, it begins again. Held by TestJunk and
// TestHandshakeEndsWithItsSession.
package dtls
