package outbound

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// Plan lists the targets of a route or a transfer, to be tried one after the other, and the source of their INVITEs.
type Plan struct {
	Targets    []*peers.Target // not tried yet
	Shared     bool            // the first one is chosen by the route's split
	FailoverOn []int           // statuses, besides the usual ones, after which the next target is tried
	Full       []*peers.Target // had no room for a call that may wait for it, or are out of use
	Capped     bool            // one of them had no room

	Reason  string         // of the attempts in the record: "" for the route, else record.ReasonTransfer and the like
	By      string         // the token that ordered it
	Vars    *template.Vars // of its templates; nil: the call's
	Source  *sip.Request   // whose headers pass on; nil: the caller's INVITE
	Headers []Field        // further headers of its INVITEs
}

// Replaces reports whether a plan is not the route's: it is for an agent's successor, or for the customer.
func (p *Plan) Replaces() bool { return p.Reason != "" }

// Next takes out the next target; nil: none is left. shared: the route's split has chosen it.
func (p *Plan) Next() (t *peers.Target, shared bool) {
	if len(p.Targets) == 0 {
		return nil, false
	}
	t, shared = p.Targets[0], p.Shared
	p.Targets, p.Shared = p.Targets[1:], false
	return t, shared
}

// VarsFor returns the variables of the plan's attempt with this number, in a call with these.
func (p *Plan) VarsFor(attempt int, call template.Vars) template.Vars {
	if p.Vars != nil {
		call = *p.Vars
	}
	call.Attempt = attempt
	return call
}

// Plan plans the calls to the destination of a transfer, with these headers. by is the agent in Referred-By, req its
// REFER; nil: the transfer is ordered.
func (t *Transfer) Plan(d Destination, with []message.HeaderLine, by string, req *sip.Request) Plan {
	headers := []Field{{Name: "Referred-By", Values: []string{by}, Kept: true}}
	for _, h := range with {
		headers = append(headers, Field{Name: h.Name, Values: []string{h.Value}, Kept: h.Name == "Replaces"})
	}
	vars := t.Vars
	vars.To, vars.Route, vars.Row = d.Party, d.Route, t.Peers.RowOf(d.Party.Number)
	if t.Vars.Target == "" { // the customer is the calling party in either direction
		vars.From, vars.Direction = CallingParty(t.Vars), template.DirectionInbound
	}
	return Plan{
		Targets: d.Targets, FailoverOn: d.FailoverOn, Reason: record.ReasonTransfer, Vars: &vars, Source: req,
		Headers: headers,
	}
}

// RescuePlan plans the calls to who takes over from a lost target. It has no targets if there are none.
func RescuePlan(p *peers.Snapshot, r *config.Route, call template.Vars, lost *peers.Target,
	rescue template.RescueVars,
) Plan {
	vars := call
	vars.Rescue = rescue
	if r.Rescue.To != "" {
		vars.To = template.Party{Number: r.Rescue.To, User: r.Rescue.To}
	}
	return Plan{
		Targets: p.RescueTargets(r, &call, &vars, lost), FailoverOn: r.FailoverOn, Reason: record.ReasonRescue,
		Vars: &vars,
	}
}

// PlaceError says why nobody is called.
type PlaceError struct {
	Status          int // of HTTP
	Problem, Remedy string
}

func (e *PlaceError) Error() string { return e.Problem + "; " + e.Remedy }

func refused(status int, problem, remedy string) error { return &PlaceError{status, problem, remedy} }
