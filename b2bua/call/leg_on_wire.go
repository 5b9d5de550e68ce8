package call

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/transaction"
	"flowbridge/b2bua/transport"
)

// LegOnWire is a leg of a call with its transactions, and the keys by which the server finds it. The leg and the
// sequence of its peer's requests belong to the call's goroutine. The rest is constant.
type LegOnWire struct {
	bridge.Half
	call *Call
	wire transport.Wire
	registry.Keys
	callID   string
	senders  peers.Senders
	sequence leg.Sequence
}

// Step passes an input to the leg. Only the call's goroutine may call it.
func (l *LegOnWire) Step(in leg.Input) { l.call.step(l, in) }

// Trying sends 100 once the call is in the journal, because after the 100 the peer does not repeat the INVITE.
func (l *LegOnWire) Trying() {
	l.call.checkpoint.flush(true)
	l.wire.Trying()
}

// Post puts an input for the leg into the inbox of the call. It returns false if the inbox is full, or the call is
// over.
func (l *LegOnWire) Post(in leg.Input) bool { return l.call.mailbox.Post(item{line: l, in: in}) }

// Call returns the call that the leg belongs to.
func (l *LegOnWire) Call() *Call { return l.call }

// CallID returns the leg's Call-ID.
func (l *LegOnWire) CallID() string { return l.callID }

// Request passes a request within the leg's dialog to the call. It returns false if the inbox is full, or the call is
// over.
func (l *LegOnWire) Request(req *sip.Request, tx *transaction.Server) bool {
	if !l.wire.Admits(req, tx, &l.senders) {
		return true // has been answered
	}
	l.wire.Follow(l.call.host.Stack.StreamOf(req))
	in := leg.RequestIn{Req: req, Source: message.ParseSource(req.Source())}
	if req.Method == sip.ACK {
		l.Post(in)
		return true
	}
	l.wire.Serve(req, tx)
	// An INVITE gets its 100 when the call's state is in the journal. Until then the peer repeats it, which may reach a
	// new process.
	if req.Method == sip.INVITE {
		l.cancellable(req, tx)
	}
	if l.Post(in) {
		return true
	}
	l.wire.Forget(tx)
	return false
}

// cancellable passes a CANCEL of the peer's INVITE to the leg.
func (l *LegOnWire) cancellable(req *sip.Request, tx *transaction.Server) {
	seq := req.CSeq().SeqNo
	tx.OnCancel(func(c *sip.Request) {
		l.Post(leg.CancelIn{Seq: seq, Why: cause.ReasonsIn(message.RawValues(c, "reason", "reason"))})
	})
}

// InvitedBy returns the Request-URI of the INVITE that a response answers. If the INVITE's leg is gone, it returns the
// To URI: for an INVITE that starts a dialog, the two are equal.
func (l *LegOnWire) InvitedBy(res *sip.Response) sip.Uri {
	if l == nil {
		return res.To().Address
	}
	return l.wire.LastInvited()
}
