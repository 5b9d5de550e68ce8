package leg

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// NewLost makes a leg for a 2xx to an INVITE of ours whose own leg is gone.
// Stepped with that 2xx it acknowledges it and hangs up (RFC 3261 section
// 13.2.2.4). The dialog is read from the response.
func NewLost(o Options, res *sip.Response) *Leg {
	from, to := res.From(), res.To()
	l := NewUAC(o, res.CallID().Value(),
		message.NameAddr(from.DisplayName, &from.Address, from.Params), message.NameAddr(to.DisplayName, &to.Address, to.Params))
	l.dialog.LocalTag = message.TagOf(from.Params)
	l.InviteSeq = res.CSeq().SeqNo
	l.dialog.LocalSeq = l.InviteSeq + maxPRACKs // past every request that its early dialog may have sent
	l.state = legAbandoned
	return l
}
