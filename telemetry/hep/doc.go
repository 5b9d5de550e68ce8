// Package hep mirrors the SIP of calls, and the quality of their RTP, to Homer or another server for HEP3: the Homer
// Encapsulation Protocol, version 3
// (https://github.com/sipcapture/HEP/blob/master/docs/HEP3Network_Protocol_Specification_REV_36.pdf).
//
//	"HEP3" length | vendor 0, type, length, value | …       big endian; every length counts its own header
//
// Decisions:
//
//   - The correlation id of all packets of a call is our call id, so that the server shows both legs, which have
//     different Call-IDs on purpose, as one call (TestMirror; TestHEP in e2e).
//   - Reports about RTP have HEP's protocol type 5 with JSON: the form in which Asterisk and rtpengine send RTCP to
//     Homer (TestReport). They have our own measurement of a side's stream, so they exist even if the side sends no
//     RTCP.
//   - No call waits for the server. A packet is encoded into a reused buffer and queued; one goroutine writes. Packets
//     that find no room are dropped and counted (TestServerAway).
package hep
