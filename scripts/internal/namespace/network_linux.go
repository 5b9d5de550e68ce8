package namespace

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Network holds carrier, relay and agents: a namespace each, as if they were three machines.
//
//	carrier c0 --- c0 relay a0 --- a0 agent
//
// The relay has one address, which the other two reach through it. A namespace ends with its last process and
// descriptor.
type Network struct{ Carrier, Relay, Agent Namespace }

// The addresses of the three machines.
var (
	RelayAddr   = netip.MustParseAddr("10.205.1.1")
	CarrierAddr = netip.MustParseAddr("10.205.2.2")
	AgentAddr   = netip.MustParseAddr("10.205.3.2")

	gateways = [2]netip.Addr{netip.MustParseAddr("10.205.2.1"), netip.MustParseAddr("10.205.3.1")} // the relay's
)

// NewNetwork creates the three machines and their links.
func NewNetwork() (n *Network, err error) {
	n = &Network{Here, Here, Here}
	for _, ns := range []*Namespace{&n.Carrier, &n.Relay, &n.Agent} {
		if *ns, err = New(); err != nil {
			n.Close()
			return nil, fmt.Errorf("a network of our own: %w; it needs root", err)
		}
	}
	err = errors.Join(
		n.Carrier.Link("c0", CarrierAddr, n.Relay, gateways[0]), n.Carrier.IP("route add default via %v", gateways[0]),
		n.Agent.Link("a0", AgentAddr, n.Relay, gateways[1]), n.Agent.IP("route add default via %v", gateways[1]),
		n.Relay.IP("address add %v/32 dev lo", RelayAddr))
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Close releases the namespaces.
func (n *Network) Close() {
	for _, ns := range []Namespace{n.Carrier, n.Relay, n.Agent} {
		if ns != Here {
			_ = unix.Close(int(ns))
		}
	}
}
