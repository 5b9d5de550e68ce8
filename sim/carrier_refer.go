package sim

import (
	"fmt"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// maxRefers is how many transfers of one call may wait for its goroutine.
const maxRefers = 4

// onRefer takes a request for a transfer to the call, which says how it went.
func (c *Carrier) onRefer(req *sip.Request, tx sip.ServerTransaction) {
	o := c.find(req)
	to := req.GetHeader("Refer-To")
	switch {
	case o == nil:
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	case o.cc.OnRefer == nil:
		reply(req, tx, sip.StatusMethodNotAllowed, "Method Not Allowed")
		return
	case to == nil:
		reply(req, tx, sip.StatusBadRequest, "no Refer-To")
		return
	}
	select {
	case o.refers <- strings.Trim(to.Value(), "<> "):
		reply(req, tx, sip.StatusAccepted, "Accepted")
	default:
		reply(req, tx, sip.StatusRequestPending, "Request Pending")
	}
}

// transferred tells the agent how a transfer went (RFC 3515 §2.4.5).
func (o *outgoing) transferred(d *dialog, code int) {
	req := d.request(sip.NOTIFY)
	req.AppendHeader(o.carrier.sip.contact("carrier", o.req.Destination()))
	req.AppendHeader(sip.NewHeader("Event", "refer"))
	req.AppendHeader(sip.NewHeader("Subscription-State", "terminated;reason=noresource"))
	req.AppendHeader(sip.NewHeader("Content-Type", "message/sipfrag;version=2.0"))
	req.SetBody(fmt.Appendf(nil, "SIP/2.0 %d Result\r\n", code))
	o.carrier.sip.ask(req)
}
