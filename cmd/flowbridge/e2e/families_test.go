//go:build e2e

package e2e

import (
	"net/netip"
	"testing"
)

// TestFamilies puts the sides into different address families, and all of them on [::1], over each
// transport. A B2BUA with both families must relay the call and every packet.
func TestFamilies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, transport string
		six             func(*stage) []*netip.Addr // the addresses that become IPv6
	}{
		{"carrier6_udp", "udp", func(s *stage) []*netip.Addr { return []*netip.Addr{&s.carrier, &s.other} }},
		{"carrier6_tcp", "tcp", func(s *stage) []*netip.Addr { return []*netip.Addr{&s.carrier, &s.other} }},
		{"target6_udp", "udp", func(s *stage) []*netip.Addr { return []*netip.Addr{&s.platform, &s.other} }},
		{"target6_tcp", "tcp", func(s *stage) []*netip.Addr { return []*netip.Addr{&s.platform, &s.other} }},
		{"all6_udp", "udp", func(s *stage) []*netip.Addr { return []*netip.Addr{&s.carrier, &s.platform, &s.b2bua} }},
		{"all6_tcp", "tcp", func(s *stage) []*netip.Addr { return []*netip.Addr{&s.carrier, &s.platform, &s.b2bua} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			for _, addr := range c.six(s) {
				*addr = netip.IPv6Loopback()
			}
			s.prepareCalls()
			o := setup{}
			if s.other.IsValid() {
				o.listen = []string{s.listener("udp", s.other), s.listener("tcp", s.other)}
			}
			b := s.serveStreams(c.transport, o)
			one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
			mode := sippUDP
			if c.transport == "tcp" {
				mode = sippTCP
			}
			agent := s.agentOver(c.transport, "caller_hangup/uas.xml", 1, two.key()...)
			carrier := s.carrierOver(mode, "caller_hangup/uac.xml", 1, one.key()...)
			ids := carrier.answered(1)
			agent.confirmed(1)
			n := s.relays(one, two, carrier, agent)
			carrier.leaves(agent, ids...)
			s.namesItself(mode, c.transport, carrier, agent)
			r := b.finish(hungUpByCaller)
			s.over(c.transport, r)
			s.counts(r[0], n)
		})
	}
}
