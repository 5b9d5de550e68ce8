package b2bua

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registry"
)

// This file gives live calls additional ids that hooks may use: the Call-IDs of the legs, and the ids that platforms
// and carriers use.

// errNoAnswer means that the call with this id did not answer within askFor.
var errNoAnswer = errors.New("the call with this id does not answer")

// askFor limits the wait for a call's answer.
const askFor = 500 * time.Millisecond

// FindNamed returns the live call with an id, which may be ours, a leg's Call-ID, the platform's or an external one.
// The error is redirected.ErrUnknownCall, redirected.ErrSeveralCalls or errNoAnswer.
func (s *Server) FindNamed(ctx context.Context, id string) (registry.LiveCall, error) {
	calls := s.registry.Named(id)
	switch len(calls) {
	case 0:
		return registry.LiveCall{}, redirected.ErrUnknownCall
	case 1:
	default:
		return registry.LiveCall{}, redirected.ErrSeveralCalls
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if l, ok := calls[0].ask(ctx); ok {
		return l, nil
	}
	return registry.LiveCall{}, errNoAnswer
}

// name registers another id for the call, if hooks may use such ids.
func (c *Call) name(id string, rank registry.Rank) {
	if c.server.keepsNames {
		c.server.registry.Name(c.id, c, id, rank)
	}
}

// nameByIDs registers the ids in the caller's INVITE for the call. It uses header fields only of a trusted trunk.
func (c *Call) nameByIDs() {
	c.name(c.vars.SIPCallID, registry.Written)
	if !c.trunk.Caller.Trusted {
		return
	}
	for _, t := range c.peers.IDs {
		id, err := t.Render(c.vars)
		if err != nil {
			c.peerLog.Warn().Err(err).Str("template", t.String()).Msg("hooks.variables.ids: no id")
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
