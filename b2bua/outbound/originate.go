package outbound

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// Origination is an API request to place a call: first a customer is called over a trunk, then an agent.
type Origination struct {
	ID      string           // id of the call; empty means a new one
	By      string           // who placed the call, for the record
	To      string           // the customer's number
	From    string           // the number that the customer sees
	Trunk   string           // name of the trunk
	Target  string           // name of the agent's target; empty means that the route decides
	Headers []peers.Variable // headers of the stand-in for a caller's INVITE, which templates and pass_headers read
	// AnswerWithin is the customer's time limit to answer. 0 means the trunk's ring_timeout.
	AnswerWithin time.Duration
}

// NotNow returns a PlaceError for lack of capacity.
func NotNow(why string) error { return refused(http.StatusServiceUnavailable, why, "try again later") }

// Placing is an Origination that was checked and is permitted.
type Placing struct {
	Invite   *sip.Request // takes the place of a caller's INVITE
	Trunk    *peers.Trunk
	Customer *peers.Target   // the trunk, as a target to call
	Route    int             // index of the route; -1 if the origination names the target
	Agents   []*peers.Target // agents to try, in order
	Share    int             // weight of the first agent if the route's split chose it; otherwise 0
	By       string          // who placed the call
}

// Place checks an origination against a configuration, at this time. Its error is a *PlaceError.
func (o *Origination) Place(p *peers.Snapshot, at time.Time) (Placing, error) {
	out := Placing{Route: -1, By: o.By}
	t, known := p.CallerNamed("trunk " + o.Trunk)
	switch out.Customer = p.Callees[o.Trunk]; {
	case !known:
		return out, refused(http.StatusBadRequest, "there is no trunk "+strconv.Quote(o.Trunk),
			"name one of trunks in trunk")
	case out.Customer == nil || t.Caller.Originate == nil:
		return out, refused(http.StatusForbidden, "the trunk "+strconv.Quote(o.Trunk)+" places no calls",
			"write originate: {numbers: […]} and uri in the trunk")
	}
	out.Trunk = t
	for _, n := range []struct{ key, number string }{{"to", o.To}, {"from", o.From}} {
		if !config.IsDialString(n.number) {
			return out, refused(http.StatusBadRequest, fmt.Sprintf("%s is not a number: %q", n.key, n.number),
				"write it like +15075785607")
		}
	}
	var err error
	if out.Invite, err = standIn(o.To, o.From, o.Headers); err != nil {
		return out, err
	}
	vars := template.Vars{
		To: CalledOf(out.Invite, t), From: CallerOf(out.Invite, t.Caller), Trunk: o.Trunk,
		Direction: template.DirectionOutbound, HeaderFunc: HeaderOf(out.Invite),
	}
	if !peers.Named(t.Caller.Originate.Numbers, vars.To.Number) {
		return out, refused(http.StatusForbidden,
			"the number "+vars.To.Number+" may not be called over the trunk "+strconv.Quote(o.Trunk),
			"add it to originate.numbers of the trunk")
	}
	if from := t.Caller.Originate.From; len(from) > 0 && !peers.Named(from, vars.From.Number) {
		return out, refused(http.StatusForbidden,
			"the trunk "+strconv.Quote(o.Trunk)+" may not call as the number "+vars.From.Number,
			"add it to originate.from of the trunk")
	}
	return out, o.route(p, &vars, at, &out)
}

// route finds the agents: the named target, or the targets of the first route with direction outbound that matches.
// Outside that route's hours the call is forbidden.
func (o *Origination) route(p *peers.Snapshot, vars *template.Vars, at time.Time, out *Placing) error {
	if o.Target != "" {
		t := p.Targets[o.Target]
		if t == nil || !peers.Dialable(t, vars) {
			return refused(http.StatusBadRequest,
				"there is no target "+strconv.Quote(o.Target)+" that can be called for this number",
				"name one of targets in target")
		}
		out.Agents = []*peers.Target{t}
	}
	closed := -1
	for i := range p.Routes {
		r := &p.Routes[i]
		if r.Direction != template.DirectionOutbound || r.Target != "" {
			continue
		}
		if why := p.Mismatch(r, vars, at); why != "" {
			if why == "hours" && closed < 0 {
				closed = i
			}
			continue
		}
		if o.Target == "" {
			out.Agents, out.Share = p.DestinationsFor(r, vars)
		}
		if len(out.Agents) > 0 {
			out.Route = i
			return nil
		}
	}
	switch {
	case closed >= 0:
		return refused(http.StatusForbidden,
			"it is outside of the hours of the route "+strconv.Quote(p.RouteName(closed)),
			"call later")
	case o.Target == "":
		return refused(http.StatusBadRequest, "no route with direction: outbound takes the call",
			"name the agent in target, or write such a route for the trunk")
	}
	return nil
}

// Plans returns the plans for calling the customer and the agents. The INVITE to the customer has From and To of
// the origination, but not its headers, which are for the agent.
func (p *Placing) Plans(vars template.Vars) (customer, agents Plan) {
	vars.Direction, vars.HeaderFunc = template.DirectionInbound, func(string) string { return "" }
	vars.From.User, vars.To.User = strings.Clone(vars.From.Number), strings.Clone(vars.To.Number)
	customer = Plan{
		Targets: []*peers.Target{p.Customer}, Reason: record.ReasonCustomer, By: p.By, Vars: &vars,
		Source: &sip.Request{Method: sip.INVITE},
	}
	return customer, Plan{Targets: p.Agents, Shared: p.Share > 0}
}

// Variables returns the origination's headers as variables, whose names lack X-, or nil if there are none.
func (o *Origination) Variables() map[string]string {
	if len(o.Headers) == 0 {
		return nil
	}
	all := make(map[string]string, len(o.Headers))
	for _, h := range o.Headers {
		all[h.Name[len("X-"):]] = strings.TrimSpace(h.Value)
	}
	return all
}
