// Package locate finds the addresses that a SIP URI leads to, in the order in which they are to be tried (RFC 3263):
//
//	URI ─▶ NAPTR (no port, no transport) ─▶ SRV (no port), by priority and weight
//	    ─▶ A and AAAA ─▶ transport, address, port
//
// # Decisions
//
// Answers are kept as long as their TTL says, within bounds; that there is none, as long as the SOA says (RFC 2308).
// While no name server answers, the last answer stays in use for a day (RFC 8767), and a call waits a tenth of a second
// for a better one. Held by TestStale.
//
// An address that failed is avoided for a while: the others of its name have their turn before it (RFC 3263 section
// 4.3). It stays in the list, because all of them may have failed. Held by TestAvoided.
//
// Names are asked for as they are written. The search list of resolv.conf is not used, because a host name in a SIP URI
// is a whole one (RFC 3261 section 19.1.1), and what an agent or a carrier writes must not become a name of this
// network. /etc/hosts comes first, and other sources of nsswitch.conf are not asked.
//
// Everything is bounded: the links of a chain of aliases, the records of an answer, the names of an SRV answer, the
// hops of a list, the entries that are kept, and the time. So no answer can hold up a call or fill memory. Held by
// TestBounds, FuzzAnswer.
//
// The standard library's resolver gives neither TTLs nor NAPTR, so this package speaks to the name servers itself, by
// github.com/miekg/dns.
package locate
