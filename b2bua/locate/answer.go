package locate

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// record is a DNS record of one of the kinds that we query.
type record struct {
	priority, weight uint16 // SRV; for NAPTR, order and preference
	port             uint16 // SRV
	target           string // SRV, NAPTR: without the final dot; empty for "."
	service, flags   string // NAPTR
	addr             netip.Addr
}

// readAnswer returns the records of a kind for a name in an answer. It follows aliases within the answer, and ignores
// records of other names. next is an alias whose records are not in the answer.
func readAnswer(m *dns.Msg, name string, kind uint16) (records []record, next string, ttl time.Duration, err error) {
	ttl = maxTTL
	owner := plain(name)
	for links := 0; ; links++ {
		if links > maxLinks {
			return nil, "", 0, errTooManyLinks
		}
		alias := ""
		for _, rr := range m.Answer {
			if plain(rr.Header().Name) != owner {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok && kind != dns.TypeCNAME {
				alias = plain(c.Target)
				ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
			}
			if r, ok := recordOf(rr, kind); ok && len(records) < maxRecords {
				records = append(records, r)
				ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
			}
		}
		switch {
		case len(records) > 0:
			return records, "", ttl, nil
		case alias == "" && owner != plain(name) && m.Rcode == dns.RcodeSuccess && !hasSOA(m):
			return nil, owner, ttl, nil // the server has not followed the alias
		case alias == "":
			return nil, "", min(ttl, negativeTTL(m)), nil
		}
		owner = alias
	}
}

// recordOf converts a DNS record of a kind. It returns false for other records.
func recordOf(rr dns.RR, kind uint16) (record, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A)
		return record{addr: a.Unmap()}, ok && kind == dns.TypeA && a.Unmap().Is4()
	case *dns.AAAA:
		a, ok := netip.AddrFromSlice(rr.AAAA)
		return record{addr: a}, ok && kind == dns.TypeAAAA && a.Is6() && !a.Is4In6()
	case *dns.SRV:
		return record{priority: rr.Priority, weight: rr.Weight, port: rr.Port, target: plain(rr.Target)},
			kind == dns.TypeSRV && (rr.Port > 0 || plain(rr.Target) == "")
	case *dns.NAPTR: // SIP does not use those with a regular expression (RFC 3263 section 4.1)
		return record{
			priority: rr.Order, weight: rr.Preference, service: rr.Service, flags: rr.Flags,
			target: plain(rr.Replacement),
		}, kind == dns.TypeNAPTR && rr.Regexp == ""
	}
	return record{}, false
}

// plain returns a name in the form in which names are compared and stored.
func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func hasSOA(m *dns.Msg) bool {
	for _, rr := range m.Ns {
		if _, ok := rr.(*dns.SOA); ok {
			return true
		}
	}
	return false
}

// negativeTTL returns how long a negative answer is valid (RFC 2308 section 5).
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return time.Duration(min(soa.Minttl, rr.Header().Ttl)) * time.Second
		}
	}
	return failureTTL
}
