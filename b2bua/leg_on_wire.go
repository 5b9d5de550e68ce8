package b2bua

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/transport"
)

// legOnWire is a leg of a call with its transactions, and the keys by which the server finds it. The leg and the
// sequence of its peer's requests belong to the call's goroutine. The rest is constant.
type legOnWire struct {
	bridge.Half
	call *Call
	wire transport.Wire
	registry.Keys
	callID   string
	senders  peers.Senders
	sequence leg.Sequence
}

// Step passes an input to the leg. Only the call's goroutine may call it.
func (l *legOnWire) Step(in leg.Input) { l.call.step(l, in) }

// Trying sends 100 once the call is in the journal, because after the 100 the peer does not repeat the INVITE.
func (l *legOnWire) Trying() {
	l.call.checkpoint.flush(true)
	l.wire.Trying()
}

// post puts an input for the leg into the inbox of the call. It returns false if the inbox is full, or the call is
// over.
func (l *legOnWire) post(in leg.Input) bool { return l.call.mailbox.Post(item{line: l, in: in}) }

// Call returns the call that the leg belongs to.
func (l *legOnWire) Call() *Call { return l.call }
