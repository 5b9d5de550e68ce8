package call

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/registry"
)

// This file gives live calls additional ids that hooks may use: the Call-IDs of the legs, and the ids that platforms
// and carriers use.

// name registers another id for the call, if hooks may use such ids.
func (c *Call) name(id string, rank registry.Rank) {
	if c.host.KeepsNames {
		c.host.Registry.Name(c.id, c, id, rank)
	}
}

// nameByIDs registers the ids in the caller's INVITE for the call. It uses header fields only of a trusted trunk.
func (c *Call) nameByIDs() {
	c.name(c.vars.SIPCallID, registry.Written)
	if !c.trunk.Caller.Trusted {
		return
	}
	for _, t := range c.peers.IDs {
		id, err := t.Render(c.variables())
		if err != nil {
			c.peerLog.Warn().Err(err).Str("template", t.String()).Msg("id of hooks.variables.ids not rendered")
			continue
		}
		c.name(strings.TrimSpace(id), registry.Written)
	}
}

// nameOutbound registers the ids in the INVITE to a platform for the call, and returns the external id, or "".
func (c *Call) nameOutbound(callID string, invite *sip.Request) (external string) {
	for _, id := range outbound.IDsIn(message.FirstHeader(invite, "X-EI")) {
		c.name(id.Value, registry.Written)
		if id.External {
			external = id.Value
		}
	}
	c.name(callID, registry.Given)
	return external
}
