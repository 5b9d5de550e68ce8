// Package locate finds the addresses that a SIP URI leads to, in the order in which to try them (RFC 3263):
//
//	URI ─▶ NAPTR (no port, no transport) ─▶ SRV (no port), by priority and weight
//	    ─▶ A and AAAA ─▶ transport, address, port
//
// # Decisions
//
// Answers are kept as long as their TTL says, within limits, and negative answers as long as the SOA says (RFC 2308).
// While no name server answers, the last answer stays in use for a day (RFC 8767), and a call waits a tenth of a second
// for a new one. TestStale.
//
// An address that failed is avoided for a while: the other addresses of its name are tried before it (RFC 3263 section
// 4.3). It stays in the list, because all of them may have failed. TestAvoided.
//
// Names are queried as they are written. The search list of resolv.conf is not used, because a host name in a SIP URI
// is fully qualified (RFC 3261 section 19.1.1), and a peer's host name must never resolve to a host of the local
// network. /etc/hosts comes first, and other sources in nsswitch.conf are not used.
//
// Everything is bounded: the links of a chain of aliases, the records of an answer, the names of an SRV answer, the
// hops of a list, the cached entries, and the time. So no answer can delay a call or fill memory. TestBounds,
// FuzzAnswer.
//
// The standard library's resolver provides neither TTLs nor NAPTR, so this package talks to the name servers itself,
// with github.com/miekg/dns.
package locate
