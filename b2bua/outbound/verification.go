package outbound

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/stir"
	"flowbridge/config/template"
)

// Verification returns the policy and the data for verifying the identity of a caller's INVITE (RFC
// 8224 section 5.1).
func Verification(invite *sip.Request, by *peers.Caller, vars *template.Vars, came time.Time) (*stir.Policy,
	*stir.Request,
) {
	to := message.PartyOf("", &invite.To().Address, by.Country)
	p := &stir.Policy{
		Trunk: by.Name, Roots: by.Identity.Roots, Hosts: by.Identity.Hosts, Fresh: stir.Fresh, Timeout: stir.Timeout,
	}
	return p, &stir.Request{
		Identity: message.RawValues(invite, "Identity", "y"), Date: message.FirstHeader(invite, "Date"),
		From: vars.From.Number, To: to.Number, Called: vars.To.Number, CallID: vars.SIPCallID,
		FromTag: message.TagOf(invite.From().Params), Came: came,
		Diverted: vars.Diversion != "" || message.FirstHeader(invite, "Diversion") != "",
	}
}
