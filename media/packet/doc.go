// Package packet parses and changes RTP and RTCP packets: headers, telephone-events and reports. It knows nothing of
// sessions, sockets or SRTP.
//
//   - RTP (RFC 3550 §5.1): [ParseRTP] checks whether a packet is well formed. The other functions rely on that.
//   - telephone-events (RFC 4733): [Event].
//   - RTCP (RFC 3550 §6): [ValidRTCP] validates a compound packet, [NextRTCP] splits it into its packets. [Translate]
//     makes it match RTP that is relayed with another SSRC, other timestamps and numbers.
//
// The package allocates nothing, and never reads beyond its input. Tests: FuzzRTPHeader, FuzzRTCP, FuzzReports,
// FuzzTranslateRTCP.
package packet
