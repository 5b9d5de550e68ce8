// Package stir verifies who calls: the Identity headers of an INVITE (RFC 8224) with their
// PASSporTs (RFC 8225) as the SHAKEN profile has them (RFC 8588, ATIS-1000074), against
// certificates with telephone number authority (RFC 8226). It knows nothing of SIP but
// header values.
//
//	Identity ──▶ parse ──▶ claims fit the call, and are fresh ──▶ certificate ──▶ signature ──▶ replay
//	                                                                  │
//	                                                      Cache ──▶ one HTTPS request, of hosts on a list
//
// # Decisions
//
// What costs nothing is checked first: a header that does not fit its call, or is stale,
// leads to no request and no signature is checked. TestNothingIsFetched.
//
// A certificate is fetched over HTTPS only, from the hosts of the policy, without
// redirects, and of bounded size. One request runs for a URL at a time, and few run at
// all. A call waits until the policy's timeout after the request began; the request goes on
// for some seconds, so that a slow server's certificate is there for later calls. A host
// that did not answer is left alone for a while, so later calls don't wait. TestHangingServer.
//
// Each certificate of a chain has only numbers that the one above it has. TestDelegates.
//
// A caller names a certificate before anything about the caller is known, so what one trunk's callers name costs the
// other trunks nothing: requests and places are shared, and only a certificate by which a call was rightly signed has a
// place that others can't take. TestTrunksShare, TestRandomPaths.
//
// A signature counts for one call: one Call-ID, From tag and called number. Both (r, s) and
// (r, n-s) are right, so r is what is remembered. Only right signatures are remembered, so
// an attacker can't fill the memory with others. TestReplay.
//
// Certificates that were revoked are not looked up: the list of the US policy
// administrator is not fetched.
package stir
