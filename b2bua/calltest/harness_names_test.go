package calltest

import (
	"context"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"flowbridge/b2bua/locate"
)

// noNames is a name server without any records.
func noNames(context.Context, string, uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.Rcode = dns.RcodeNameError
	return m, nil
}

// zoneOf returns a name server with these records, written as in a zone file.
func zoneOf(t testing.TB, lines string) locate.Ask {
	t.Helper()
	var all []dns.RR
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		rr, err := dns.NewRR(strings.TrimSpace(line))
		must(t, err)
		all = append(all, rr)
	}
	return func(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
		m := new(dns.Msg)
		for _, rr := range all {
			if strings.EqualFold(rr.Header().Name, name) && rr.Header().Rrtype == kind {
				m.Answer = append(m.Answer, rr)
			}
		}
		if len(m.Answer) == 0 {
			return noNames(ctx, name, kind)
		}
		return m, nil
	}
}
