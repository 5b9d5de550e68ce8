package node

import (
	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
)

// openEvents sets up the admin API's events about calls and figures.
func (n *Node) openEvents(name string) {
	n.events = admin.NewEvents(admin.EventSources{
		Node: name, Version: cli.Version(), Fleet: n.fleet != nil, Figures: n.live,
	})
	n.add(part{close: n.events.Close})
}
