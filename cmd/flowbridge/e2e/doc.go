// Package e2e tests the real binary over real sockets on loopback: SIPp is the
// carrier and the agent, or the program's own simulator is the platform.
//
//	go test -tags e2e -count=1 ./cmd/flowbridge/e2e
//
// With FLOWBRIDGE_E2E_RACE=1 in the environment the binary is built with the
// race detector. These have to be installed:
//
//	apt-get install sip-tester baresip-core kamailio tshark prometheus chromium postgresql
//
// Each test has addresses of its own: the B2BUA is 127.0.1.N, the carrier
// 127.0.2.N, the platform 127.0.3.N, a stranger, or who is called for a transfer,
// 127.0.4.N, and a proxy 127.0.5.N. The scenarios
// are in scenarios/<name>/uac.xml (carrier) and uas.xml (agent); a side that
// differs from another scenario's in nothing takes that one's file. Where a
// scenario waits for INFO, the driver says when to go on: it sends one with
// the call's Call-ID to SIPp, past the B2BUA. What dialogs say again and again is
// written by functions, see script.
//
// With the tag interop there are tests beside other systems, which run the lines of
// the pages in docs/interop. They need a network of their own: scripts/interop.
package e2e
