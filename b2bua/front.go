package b2bua

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
)

// front is the server as its transport sees it.
type front struct{ *Server }

// Peers are the trunks and targets in force.
func (f front) Peers() *peers.Snapshot { return f.admission.Peers.Load() }

// maxUnwritten is how many records may wait for a disk that does not take
// them before new calls are refused.
const maxUnwritten = 10_000

// Capacity says whether there is room for a new call.
func (f front) Capacity(from peers.Sender) peers.Capacity {
	switch {
	case f.unwritten.Load() >= maxUnwritten:
		return peers.CapacityNone
	case f.stack.IsOverloaded():
		return peers.CapacityOverload
	default:
		return f.admission.Capacity(from)
	}
}

// InDialog says whether a To tag is, or was a moment ago, that of a leg.
func (f front) InDialog(toTag []byte) bool { return f.registry.knowsTag(toTag) }

// InProgress says whether the INVITE that gets this To tag is known.
func (f front) InProgress(toTag message.Minted) bool { return f.registry.has(toTag) }

// Request takes a request.
func (f front) Request(req *sip.Request, tx *sip.ServerTx) { f.onRequest(req, tx) }

// StrayResponse takes a response that no transaction waits for.
func (f front) StrayResponse(res *sip.Response) { f.onStrayResponse(res) }

// Panicked counts and logs a panic that was recovered.
func (f front) Panicked(where string, value any) { f.panicked(&f.log, where, value) }
