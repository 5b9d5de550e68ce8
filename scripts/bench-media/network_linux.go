package main

import (
	"net/netip"
	"os"

	"flowbridge/scripts/internal/namespace"
)

// network contains carrier, relay and agents, with a direct link between carrier and agent for packets without a relay:
//
//	carrier d0 --- d0 agent
type network struct{ *namespace.Network }

// The addresses of the two ends of a load. Measurements are compared with directAddrs: only the link.
var (
	relayAddrs  = [2]netip.Addr{namespace.CarrierAddr, namespace.AgentAddr}
	directAddrs = [2]netip.Addr{netip.MustParseAddr("10.205.4.1"), netip.MustParseAddr("10.205.4.2")}
)

func newNetwork() (n network, err error) {
	if n.Network, err = namespace.NewNetwork(); err != nil {
		return n, err
	}
	if err = n.Carrier.Link("d0", directAddrs[0], n.Agent, directAddrs[1]); err != nil {
		n.Close()
	}
	return n, err
}

// forward makes the relay's machine forward packets itself.
func (n network) forward() error {
	return n.Relay.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
}
