package node

import (
	"slices"

	"flowbridge/config"
	"flowbridge/telemetry/live"
)

// kindTrunk is the kind of a trunk in the list of targets.
const kindTrunk = "trunk"

// figures is what the statistics of calls do not have from their records.
func (n *Node) figures() live.Node {
	used, total := n.engine.Ports()
	return live.Node{
		Calls: n.server.Calls(), Unwritten: n.server.Unwritten(), Limit: n.config().Media.Calls(), Ports: live.Ports{InUse: used, Limit: total}, Media: n.mediaPath(),
		Draining: n.server.Draining(), Rejected: n.server.Rejected().All(),
	}
}

// peers are the targets, and the trunks that can be called.
func (n *Node) peers() []live.Peer {
	cfg, open, circuits := n.config(), n.server.Open(), n.circuits()
	var all []live.Peer
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		all = append(all, live.Peer{Name: t.Name, Kind: t.Kind, Address: t.URI.String(), Calls: open.Targets[t.Name], MaxCalls: t.MaxCalls, Circuits: circuits[t.Name], Addresses: n.addresses(t.Name)})
	}
	for i := range cfg.Trunks {
		if t := &cfg.Trunks[i]; t.URI != nil {
			all = append(all, live.Peer{Name: t.Name, Kind: kindTrunk, Address: t.URI.String(), Calls: open.Trunks[t.Name], MaxCalls: t.MaxCalls, Circuits: circuits[t.Name], Addresses: n.addresses(t.Name)})
		}
	}
	return all
}

// isPeer says whether peers has the name.
func (n *Node) isPeer(name string) bool {
	cfg := n.config()
	return slices.ContainsFunc(cfg.Targets, func(t config.Target) bool { return t.Name == name }) ||
		slices.ContainsFunc(cfg.Trunks, func(t config.Trunk) bool { return t.Name == name && t.URI != nil })
}
