package node

import (
	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
)

// openEvents makes the events of the admin API. They are told of calls, and tell what the figures say.
func (n *Node) openEvents(name string) {
	n.events = admin.NewEvents(admin.EventSources{
		Node: name, Version: cli.Version(), Fleet: n.fleet != nil, Figures: n.live,
	})
	n.add(part{close: n.events.Close})
}
