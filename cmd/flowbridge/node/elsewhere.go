package node

import (
	"cmp"
	"context"
	"time"

	"flowbridge/admin"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/telemetry/live"
)

// otherNodes provides the nodes of the fleet for the admin API.
type otherNodes struct{ node *Node }

// Overview returns the nodes and seats.
func (o otherNodes) Overview(ctx context.Context) (any, error) {
	return o.node.fleet.Overview(ctx, o.node.config().Fleet.Caps)
}

// Live returns the live calls of other nodes, and how many of them this node can't read.
func (o otherNodes) Live(ctx context.Context) (calls []admin.Call, hidden int, err error) {
	states, hidden, err := o.node.fleet.Elsewhere(ctx)
	for i := range states {
		switch c, over, err := callElsewhere(&states[i]); {
		case err != nil:
			hidden++
		case !over:
			calls = append(calls, c)
		}
	}
	return calls, hidden, err
}

// Find returns the live call with an id from another node.
func (o otherNodes) Find(ctx context.Context, id string) (c admin.Call, ok bool, err error) {
	state, ok, err := o.node.fleet.FindElsewhere(ctx, id)
	if !ok || err != nil {
		return c, false, err
	}
	c, over, err := callElsewhere(&state)
	return c, err == nil && !over, nil // otherwise this version can't read it, or its record is about to arrive
}

// callElsewhere decodes the state of a call on another node. over reports whether the call has
// ended.
func callElsewhere(e *fleet.Elsewhere) (c admin.Call, over bool, err error) {
	left, over, err := store.FromReplica(e.ID, e.Text, time.Now())
	r := &left.Record
	r.Node = cmp.Or(e.Node, r.Node) // the record may name an earlier node
	return admin.Call{Record: *r, Phase: live.PhaseOf(r), Seat: e.Seat}, over, err
}

// Where returns the address of a node.
func (o otherNodes) Where(ctx context.Context, node string) (at admin.Where, err error) {
	at.Own = node == o.node.fleet.Node()
	if at.Own {
		return at, nil
	}
	m, proven, err := o.node.fleet.Find(ctx, node, o.node.config().Fleet.Nodes)
	at.There, at.Unproven = m.ID != "", m.API != "" && !proven
	if proven {
		at.API = m.API
	}
	return at, err
}
