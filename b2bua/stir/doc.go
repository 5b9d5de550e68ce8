// Package stir verifies callers. It checks the Identity headers of an INVITE (RFC 8224) with their PASSporTs (RFC 8225)
// in the SHAKEN profile (RFC 8588, ATIS-1000074) against certificates with telephone number authority (RFC 8226). Of
// SIP it knows only the values of headers.
//
//	Identity ──▶ parse ──▶ claims fit the call, and are fresh ──▶ certificate ──▶ signature ──▶ replay
//	                                                                  │
//	                                                      Cache ──▶ one HTTPS request, of hosts on a list
//
// # Decisions
//
// Cheap checks come first: if a header does not fit its call, or is stale, no certificate
// is requested and no signature is checked. TestNothingIsFetched.
//
// A certificate is fetched over HTTPS only, from the hosts of the policy, without
// redirects, and of bounded size. Only one request runs for a URL at a time, and only a
// few in total. A call waits at most until the policy's timeout after the request began.
// The request continues for some seconds, so that later calls have a slow server's
// certificate. A host that did not answer is left alone for a while, so later calls don't
// wait. TestHangingServer.
//
// Each certificate of a chain may have only numbers that the one above it has. TestDelegates.
//
// A caller names a certificate before anything about the caller is known, so one trunk's callers must not cost other
// trunks anything: requests and places are divided between the trunks, and only a certificate that has validly signed a
// call has a place that others can't take. TestTrunksShare, TestRandomPaths.
//
// A signature counts for one call: one Call-ID, From tag and called number. Both (r, s)
// and (r, n-s) are right, so r is remembered. Only valid signatures are remembered, so an
// attacker can't fill the memory with invalid ones. TestReplay.
//
// Revocation is not checked: the list of the US policy administrator is not fetched.
package stir
