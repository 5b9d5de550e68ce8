package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/namespace"
)

// network is what carrier, relay and agents are in: a namespace each, as if they were three machines.
//
//	carrier c0 --- c0 relay a0 --- a0 agent
//	        d0 ------------------- d0
//
// The relay has one address, which both reach through it. The link between carrier and agent is for what nothing relays.
// A namespace ends with the last process and descriptor in it.
type network struct{ carrier, relay, agent namespace.Namespace }

// The addresses. What is measured is compared with directAddrs, a link between the two ends and nothing else.
var (
	systemAddr  = netip.MustParseAddr("10.205.1.1")
	carrierAddr = netip.MustParseAddr("10.205.2.2")
	agentAddr   = netip.MustParseAddr("10.205.3.2")
	gateways    = [2]netip.Addr{netip.MustParseAddr("10.205.2.1"), netip.MustParseAddr("10.205.3.1")} // the relay's, of both links
	relayAddrs  = [2]netip.Addr{carrierAddr, agentAddr}
	directAddrs = [2]netip.Addr{netip.MustParseAddr("10.205.4.1"), netip.MustParseAddr("10.205.4.2")} // of carrier and agent
)

func newNetwork() (n *network, err error) {
	n = &network{carrier: -1, relay: -1, agent: -1}
	for _, ns := range []*namespace.Namespace{&n.carrier, &n.relay, &n.agent} {
		if *ns, err = namespace.New(); err != nil {
			n.close()
			return nil, fmt.Errorf("a network of our own: %w; it needs root", err)
		}
	}
	link := func(from namespace.Namespace, name string, at netip.Addr, to namespace.Namespace, far netip.Addr) {
		if err == nil {
			err = errors.Join(from.Pair(name, to), from.Address(name, at, 24), to.Address(name, far, 24))
		}
	}
	link(n.carrier, "c0", carrierAddr, n.relay, gateways[0])
	link(n.agent, "a0", agentAddr, n.relay, gateways[1])
	link(n.carrier, "d0", directAddrs[0], n.agent, directAddrs[1])
	if err == nil {
		err = errors.Join(n.relay.Address("lo", systemAddr, 32), n.carrier.Route(gateways[0]), n.agent.Route(gateways[1]))
	}
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *network) close() {
	for _, ns := range []namespace.Namespace{n.carrier, n.relay, n.agent} {
		if ns >= 0 {
			_ = unix.Close(int(ns))
		}
	}
}

// forward has the relay's machine forward packets by itself.
func (n *network) forward() error {
	return n.relay.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
}
