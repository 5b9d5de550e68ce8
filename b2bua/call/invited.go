package call

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
	"flowbridge/media"
)

// Invited gives the call the leg of its caller, whose INVITE came to the address local. It returns false if that
// INVITE, or a copy of it, has already created a call.
func (c *Call) Invited(req *sip.Request, tx *transaction.Server, local leg.Local) bool {
	h, t := c.host, c.trunk
	leg := leg.NewUAS(h.legOptions(media.SideA, local, t.Options(c.peers)), req, c.source)
	flow := h.Stack.StreamOf(req)
	c.setCaller(c.putOnWire(leg, media.SideA, &t.Caller.Peer, t.CallerTLS(&h.CallerTLS), flow))
	c.a.Branch, c.a.Merged = strings.Clone(message.BranchOf(req)), t.MergeKey(req)
	c.a.senders = peers.Senders{Peers: c.peers, Caller: t, From: c.source, Shown: peers.CredentialsIn(req)}
	c.a.Confirmed = flow != nil || t.NeedsCredentials()
	c.a.sequence.Next = req.CSeq().SeqNo + 1
	c.a.wire.Serve(req, tx)
	if !h.Registry.AddCall(c.id, c, c.a) {
		c.ladder.Discard()
		c.a.wire.Close()
		return false
	}
	return true
}

// Begin starts a call that was Invited.
func (c *Call) Begin(req *sip.Request, tx *transaction.Server) {
	if left := c.host.Left(c.a.Tag); left != nil {
		c.restart(left)
	}
	c.join(c.a)
	c.a.cancellable(req, tx)
	c.log.Debug().Str("from", c.vars.From.Number).Str("to", c.vars.To.Number).Str("sip_call_id", c.vars.SIPCallID).
		Msg("call started")
	c.host.Calls.Add(1)
	c.mailbox.Begin()
}
