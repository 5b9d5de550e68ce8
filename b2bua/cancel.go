package b2bua

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
)

// cancellable gives the leg a CANCEL of the peer's INVITE.
func (l *legOnWire) cancellable(req *sip.Request, tx *transaction.Server) {
	seq := req.CSeq().SeqNo
	tx.OnCancel(func(c *sip.Request) {
		l.post(leg.CancelIn{Seq: seq, Why: cause.ReasonsIn(message.RawValues(c, "reason", "reason"))})
	})
}
