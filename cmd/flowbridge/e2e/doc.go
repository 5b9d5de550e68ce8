// Package e2e tests the real binary over real sockets on loopback. SIPp plays the carrier and the
// agent; in some tests the program's own simulator plays the platform.
//
//	go test -tags e2e -count=1 ./cmd/flowbridge/e2e
//
// With FLOWBRIDGE_E2E_RACE=1 in the environment, the binary is built with the race detector. The
// tests need these packages:
//
//	apt-get install sip-tester baresip-core kamailio tshark prometheus chromium postgresql
//
// Each test has its own addresses: the B2BUA is 127.0.1.N, the carrier 127.0.2.N, the platform
// 127.0.3.N, a stranger or the destination of a transfer 127.0.4.N, and a proxy 127.0.5.N. The
// scenarios are in scenarios/<name>/uac.xml (carrier) and uas.xml (agent). If a side is the same as
// in another scenario, it uses that scenario's file. If a scenario waits for INFO, the driver tells
// it when to continue: the driver sends SIPp an INFO with the call's Call-ID, bypassing the B2BUA.
// Functions write the messages that most dialogs have in common; see script.
//
// With the tag interop there are tests with other systems, which run the commands of the pages in
// docs/interop. They need their own network namespace: see scripts/interop.
package e2e
