// Package packet reads RTP and RTCP packets and changes them: headers, telephone-events, reports. It knows nothing of
// sessions and sockets, and nothing of SRTP.
//
//   - RTP (RFC 3550 §5.1): [ParseRTP] says whether a packet is well formed. Whatever else reads one may rely on that.
//   - telephone-events (RFC 4733): [Event].
//   - RTCP (RFC 3550 §6): [ValidRTCP] says whether a compound is one, [NextRTCP] reads it packet by packet. [Translate]
//     makes it fit RTP that is relayed under another name, with other times and numbers.
//
// Nothing here allocates, and nothing reads beyond what it is given.
// Tests: FuzzRTPHeader, FuzzRTCP, FuzzReports, FuzzTranslateRTCP.
package packet
