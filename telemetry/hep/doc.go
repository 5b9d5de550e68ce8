// Package hep mirrors the SIP of calls, and what their RTP was like, to Homer or another server for HEP3: the Homer
// Encapsulation Protocol, version 3
// (https://github.com/sipcapture/HEP/blob/master/docs/HEP3Network_Protocol_Specification_REV_36.pdf).
//
//	"HEP3" length | vendor 0, type, length, value | …       big endian; every length counts its own header
//
// Decisions:
//
//   - The correlation id of all packets of a call is our call id, so both legs, which have different Call-IDs on
//     purpose, are one call at the server (TestMirror; TestHEP in e2e).
//   - What is said about RTP has HEP's protocol type 5 with JSON: the form in which Asterisk and rtpengine send RTCP to
//     Homer (TestReport). It is our own measurement of what a side sent, so there is one also where the side sends no
//     RTCP.
//   - No call waits for the server. A packet is encoded into a buffer that is used again, and queued; one goroutine
//     writes. What finds no room is dropped and counted (TestServerAway).
package hep
