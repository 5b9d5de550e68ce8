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
	Targets    []*peers.Target // targets that have not been tried
	Shared     bool            // the route's split has chosen the first one
	FailoverOn []int           // additional statuses of a target that lead to the next target
	Full       []*peers.Target // targets without room, for which the call may wait, and targets that are out of use
	Capped     bool            // at least one target in Full had no room

	Reason  string         // reason for the attempts in the record: "" for the route, or record.ReasonTransfer etc.
	By      string         // who asked for it: the name of the token of the request
	Vars    *template.Vars // variables for its templates; nil means the call's
	Source  *sip.Request   // message whose headers are passed on; nil means the caller's INVITE
	Headers []Field        // additional headers for its INVITEs
}

// Replaces reports whether a plan is not the route's, but calls a replacement for the agent, or the first party of a
// placed call.
func (p *Plan) Replaces() bool { return p.Reason != "" }

// Next removes and returns the next target, or returns nil if none is left. shared says that the route's split chose
// it.
func (p *Plan) Next() (t *peers.Target, shared bool) {
	if len(p.Targets) == 0 {
		return nil, false
	}
	t, shared = p.Targets[0], p.Shared
	p.Targets, p.Shared = p.Targets[1:], false
	return t, shared
}

// VarsFor returns the variables for an attempt of the plan. attempt is its number. call are the call's variables.
func (p *Plan) VarsFor(attempt int, call template.Vars) template.Vars {
	if p.Vars != nil {
		call = *p.Vars
	}
	call.Attempt = attempt
	return call
}

// Plan returns the plan for calling the destination of a transfer. with has additional headers. by is the value of
// Referred-By. req is the agent's REFER, or nil if an operator or a tool asked for the transfer.
func (t *Transfer) Plan(d Destination, with []message.HeaderLine, by string, req *sip.Request) Plan {
	headers := []Field{{Name: "Referred-By", Values: []string{by}, Kept: true}}
	for _, h := range with {
		headers = append(headers, Field{Name: h.Name, Values: []string{h.Value}, Kept: h.Name == "Replaces"})
	}
	vars := t.Vars
	vars.To, vars.Route, vars.Row = d.Party, d.Route, t.Peers.RowOf(d.Party.Number)
	if t.Vars.Target == "" { // the caller stays the calling party, whatever the direction
		vars.From, vars.Direction = CallingParty(t.Vars), template.DirectionInbound
	}
	return Plan{
		Targets: d.Targets, FailoverOn: d.FailoverOn, Reason: record.ReasonTransfer, Vars: &vars, Source: req,
		Headers: headers,
	}
}

// RescuePlan returns the plan for calling targets that may take over from a lost target. The plan has no targets if
// there are none.
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

// PlaceError is the reason why no call is placed.
type PlaceError struct {
	Status          int // HTTP status
	Problem, Remedy string
}

func (e *PlaceError) Error() string { return e.Problem + "; " + e.Remedy }

func refused(status int, problem, remedy string) error { return &PlaceError{status, problem, remedy} }
