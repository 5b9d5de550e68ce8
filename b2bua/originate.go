package b2bua

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// Originate places a call, and returns its state while the customer is called. If a live call has the origination's id,
// it returns that call instead. The error is an *outbound.PlaceError, or ctx's.
func (s *Server) Originate(ctx context.Context, o *outbound.Origination) (LiveCall, error) {
	c := s.registry.Call(o.ID)
	if c == nil {
		at, p := time.Now(), s.admission.Peers.Load()
		placing, err := o.Place(p, at)
		if err == nil {
			c, err = s.place(o, &placing, p, at)
		}
		if err != nil {
			return LiveCall{}, err
		}
	}
	if l, ok := c.ask(ctx); ok {
		return l, nil
	}
	return LiveCall{}, ctx.Err()
}

// place makes the call of an origination, and starts it. If another request with the same id was faster, it returns
// that call.
func (s *Server) place(o *outbound.Origination, placing *outbound.Placing, p *peers.Snapshot,
	at time.Time,
) (*Call, error) {
	t, id := placing.Trunk, o.ID
	if id == "" {
		id = record.NewID()
	}
	c := s.newCall(id, at, placing.Invite, p, t, netip.AddrPort{})
	c.customer = customerOf(placing, &c.vars)
	c.customer.call.by = o.By
	c.now = (*Call).callCustomer
	parties := partiesOf(&c.vars)
	if full, ok := s.reserve(c.customer, parties); !ok {
		return nil, c.notPlaced("no agent can take the call: " + full.Cause().Words())
	}
	if why := s.admission.Originate(t, parties, at); why != "" {
		c.dropCustomer()
		return nil, c.notPlaced(why)
	}
	c.claimed = true
	if c.vars.Direction = template.DirectionOutbound; placing.Route >= 0 {
		c.takeRoute(placing.Route)
	} else {
		c.route, c.vars.Row = unrouted(), p.RowOf(c.vars.From.Number)
	}
	c.customer.agents.failoverOn = c.route.FailoverOn
	c.noteDestination(c.customer.first)
	if c.times.setupUntil = at.Add(placing.Customer.Dial.RingTimeout); o.AnswerWithin > 0 {
		c.times.setupUntil = at.Add(o.AnswerWithin)
	}
	if first := s.registry.AddPlaced(id, c); first != c {
		c.dropCustomer()
		s.admission.Release(t, parties)
		s.admission.Leave(t, true)
		c.ladder.Discard()
		return first, nil
	}
	s.calls.Add(1)
	c.mailbox.Begin()
	return c, nil
}

// notPlaced returns the error of a call that could not begin, and that holds no place.
func (c *Call) notPlaced(why string) error {
	c.ladder.Discard()
	return &outbound.PlaceError{Status: http.StatusServiceUnavailable, Problem: why, Remedy: "try again later"}
}

// customerOf plans a call: the customer first, and then the agents. The INVITE to the customer has From and To of the
// origination, and none of its headers: these are for the agent.
func customerOf(placing *outbound.Placing, vars *template.Vars) *customer {
	toward := *vars
	toward.Direction, toward.HeaderFunc = template.DirectionInbound, func(string) string { return "" }
	toward.From.User, toward.To.User = strings.Clone(toward.From.Number), strings.Clone(toward.To.Number)
	return &customer{
		call: plan{
			targets: []*peers.Target{placing.Customer}, reason: record.ReasonCustomer, vars: &toward,
			source: message.NewRequest(sip.INVITE),
		},
		agents: plan{targets: placing.Agents}, first: placing.Agents[0],
	}
}
