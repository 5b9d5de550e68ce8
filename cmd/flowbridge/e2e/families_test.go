//go:build e2e

package e2e

import (
	"net/netip"
	"testing"
)

// TestFamilies has each side in an address family of its own, over each
// transport: a B2BUA on both carries the call and every packet.
func TestFamilies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, transport string
		six             func(*stage) *netip.Addr // who has IPv6
	}{
		{"carrier6_udp", "udp", func(s *stage) *netip.Addr { return &s.carrier }},
		{"carrier6_tcp", "tcp", func(s *stage) *netip.Addr { return &s.carrier }},
		{"target6_udp", "udp", func(s *stage) *netip.Addr { return &s.platform }},
		{"target6_tcp", "tcp", func(s *stage) *netip.Addr { return &s.platform }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			*c.six(s), s.other = netip.IPv6Loopback(), netip.IPv6Loopback()
			s.prepareCalls()
			o := setup{target: ", transport: " + c.transport}
			for _, addr := range []netip.Addr{s.b2bua, s.other} {
				o.listen = append(o.listen, s.listener("udp", addr), s.listener("tcp", addr))
			}
			b := s.serve(o)
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
			carrier.proceed(ids...)
			carrier.finish()
			agent.finish()
			r := b.finish(hungUpByCaller)
			s.over(c.transport, r)
			s.counts(r[0], n)
		})
	}
}

// TestIPv6Streams has everything on [::1] over TCP.
func TestIPv6Streams(t *testing.T) {
	s := newStage(t)
	s.b2bua, s.carrier, s.platform = netip.IPv6Loopback(), netip.IPv6Loopback(), netip.IPv6Loopback()
	s.prepareCalls()
	b := s.serveStreams("tcp", setup{})
	agent := s.agentOver("tcp", "caller_hangup/uas.xml", 2)
	carrier := s.carrierOver(sippTCPCalls, "load/uac.xml", 2)
	carrier.finish()
	agent.finish()
	s.namesItself(sippTCPCalls, "tcp", carrier, agent)
	s.over("tcp", b.finish(hungUpByCaller, hungUpByCaller))
}
