// Package browser makes SIP calls of what browsers ask for over HTTP: an offer becomes an INVITE to the B2BUA, as from
// a trunk, and the B2BUA's answer goes back. Media flows between browser and B2BUA. The HTTP is in package admin.
//
// Decisions:
//
//   - It is built on sipgo, and knows nothing of the B2BUA.
//   - It reaches the B2BUA over TCP, because a browser's offer is too long for a datagram, at a listener on a loopback
//     address that only this node uses. Each connection begins with a proof that only this process knows.
//   - A dialog outlives its process: what is needed to hang up is sealed into the call's location, which the browser
//     keeps. Requests within a dialog are answered without memory: OPTIONS by 200, because the B2BUA itself knows
//     whether the browser is there (RFC 7675), and a re-INVITE by 488, because a browser that only waits can't be
//     asked.
//   - So the B2BUA must find the next process at the same address: Addresses derives it from the node's key.
package browser
