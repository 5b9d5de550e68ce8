package b2bua

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/transport"
)

// legOnWire is one leg with its transactions, and the keys by which the server finds it. The leg and the sequence of
// its peer's requests belong to its call's goroutine. The rest is constant.
type legOnWire struct {
	bridge.Half
	call *Call
	wire transport.Wire
	registry.Keys
	callID   string
	senders  peers.Senders
	sequence leg.Sequence
}

// Step gives the leg an input, in the call's turn.
func (l *legOnWire) Step(in leg.Input) { l.call.step(l, in) }

// Trying sends 100 once the call is in the journal. From then on the peer does not repeat the INVITE.
func (l *legOnWire) Trying() {
	l.call.checkpoint.flush(true)
	l.wire.Trying()
}

// post leaves an input in the inbox of the leg's call. It returns false if the call is over.
func (l *legOnWire) post(in leg.Input) bool { return l.call.mailbox.Post(item{line: l, in: in}) }

// Call returns the leg's call.
func (l *legOnWire) Call() *Call { return l.call }
