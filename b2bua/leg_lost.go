package b2bua

import "github.com/emiago/sipgo/sip"

// newLostLeg makes a leg for a 2xx to an INVITE of ours whose own leg is gone.
// Stepped with that 2xx it acknowledges it and hangs up (RFC 3261 section
// 13.2.2.4). The dialog is read from the response.
func newLostLeg(o legOptions, res *sip.Response) *Leg {
	from, to := res.From(), res.To()
	l := newUACLeg(o, res.CallID().Value(),
		partyOf(from.DisplayName, &from.Address, from.Params), partyOf(to.DisplayName, &to.Address, to.Params))
	l.dialog.LocalTag = tagOf(from.Params)
	l.inviteSeq = res.CSeq().SeqNo
	l.dialog.LocalSeq = l.inviteSeq + maxPRACKs // past every request that its early dialog may have sent
	l.state = legAbandoned
	return l
}
