package node

import (
	"context"

	"flowbridge/cmd/flowbridge/node/watchdog"
)

// watched returns the parts of the node. A disk may be slow, and a request may have to read much data; for a call, a
// second is long.
func (n *Node) watched() []watchdog.Part {
	parts := []watchdog.Part{
		{Name: "call", Looks: 2, Underway: n.server.Underway},
		{Name: "sip", Looks: 2, Vital: true, Underway: n.server.Stack().Reading},
		{Name: "media", Looks: 2, Vital: true, Underway: n.rtp.engine.Underway},
		{Name: "store", Looks: 4, Underway: n.store.Underway},
		{Name: "admin", Looks: 10, Underway: n.requests.Underway},
	}
	if kept := n.ladders.kept; kept != nil {
		parts = append(parts, watchdog.Part{Name: "ladders", Looks: 4, Underway: kept.Underway})
	}
	if n.out != nil {
		parts = append(parts, watchdog.Part{Name: "log", Looks: 2, Underway: n.out.underway})
	}
	return parts
}

// alive returns an error if RTP, SIP or calls are stalled. Problems of records, ladders or the admin API don't count,
// because calls continue.
func (n *Node) alive(ctx context.Context) error {
	if err := n.watchdog.Vital(ctx); err != nil {
		return err
	}
	return n.server.Responsive(ctx)
}
