package b2bua

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// Originate places a call, and returns its state while the customer is called. No other call may have the origination's
// id. The error is an *outbound.PlaceError, or ctx's.
func (s *Server) Originate(ctx context.Context, o *outbound.Origination) (registry.LiveCall, error) {
	at, p := time.Now(), s.admission.Peers.Load()
	placing, err := o.Place(p, at)
	if err != nil {
		return registry.LiveCall{}, err
	}
	t := placing.Trunk
	c := s.newCall(cmp.Or(o.ID, record.NewID()), at, placing.Invite, p, t, netip.AddrPort{})
	c.customer, c.record.variables = newCustomer(&placing, c.vars), o.Variables()
	reserved, why := s.admission.Originate(t, placing.Agents, peers.PartiesOf(&c.vars), at)
	if reserved == nil {
		c.ladder.Discard()
		return registry.LiveCall{}, outbound.NotNow(why)
	}
	c.claimed, c.customer.reserved = true, reserved
	if c.vars.Direction = template.DirectionOutbound; placing.Route >= 0 {
		c.takeRoute(placing.Route)
	} else {
		c.route, c.vars.Row = config.Unrouted(), p.RowOf(c.vars.From.Number)
	}
	c.noteDestination(placing.Agents[0])
	c.ladder.Routed(c.vars.Route, c.vars.To.Number, peers.NamesOf(placing.Agents))
	c.ladder.Split(c.record.target, placing.Share, c.route.Total())
	c.customer.agents.FailoverOn = c.route.FailoverOn
	c.times.setupUntil = at.Add(cmp.Or(o.AnswerWithin, placing.Customer.Dial.RingTimeout))
	c.now = (*Call).callCustomer
	s.resume(c, true)
	if l, ok := c.ask(ctx); ok {
		return l, nil
	}
	return registry.LiveCall{}, ctx.Err()
}
