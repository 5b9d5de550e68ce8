// Package webrtc calls the real server with pion/webrtc, as browsers do: ICE, DTLS-SRTP, and SIP around it. It has
// only tests.
package webrtc
