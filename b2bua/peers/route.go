package peers

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"flowbridge/config"
	"flowbridge/config/template"
)

// FirstRoute returns the index of the first route that matches a call at this time and has destinations for it, or -1.
func (p *Snapshot) FirstRoute(vars *template.Vars, at time.Time) int {
	for i := range p.Routes {
		if r := &p.Routes[i]; p.Mismatch(r, vars, at) == "" && p.reaches(r, vars) {
			return i
		}
	}
	return -1
}

// RouteName returns a route's name, or a name made from its position.
func (p *Snapshot) RouteName(index int) string {
	return cmp.Or(p.Routes[index].Name, "routes["+strconv.Itoa(index)+"]")
}

// Mismatch returns the first condition of a route that a call does not meet at this time: target, trunk, to, from,
// listed or hours. It returns "" if the call meets all. A route without target never matches a call that a target
// places.
func (p *Snapshot) Mismatch(r *config.Route, vars *template.Vars, at time.Time) string {
	switch {
	case r.Target != vars.Target:
		return "target"
	case r.Trunk != "" && r.Trunk != vars.Trunk:
		return "trunk"
	case !r.To.Match(vars.To.Number):
		return "to"
	case !r.From.Match(vars.From.Number):
		return "from"
	case r.Listed && !p.lists(r, vars):
		return "listed"
	case !r.Hours.Includes(at):
		return "hours"
	default:
		return ""
	}
}

// lists reports whether the number table has a row for the agent's number that may use this route.
func (p *Snapshot) lists(r *config.Route, vars *template.Vars) bool {
	row, ok := p.Numbers.Find(r.AgentNumber(vars))
	return ok && (row.Route() == "" || row.Route() == r.Name)
}

// reaches reports whether a matching route has destinations for a call.
func (p *Snapshot) reaches(r *config.Route, vars *template.Vars) bool {
	v := *vars
	v.Direction = r.Direction
	targets, trunks, _ := p.named(r, vars)
	return slices.ContainsFunc(targets, func(name string) bool { return Dialable(p.Targets[name], &v, r.To, r.From) }) ||
		slices.ContainsFunc(trunks, func(name string) bool { return Dialable(p.Callees[name], &v, r.To, r.From) })
}

// named returns the names of the targets and trunks that a route leads a call to: those in the number table if the
// route uses it and the row has any, and otherwise the route's own. own reports which.
func (p *Snapshot) named(r *config.Route, vars *template.Vars) (targets, trunks []string, own bool) {
	if r.Listed {
		if row, ok := p.Numbers.Find(r.AgentNumber(vars)); ok {
			if targets := row.Targets(); len(targets) > 0 {
				return targets, nil, false
			}
		}
	}
	return r.Targets, r.Trunks, true
}

// Destinations returns the targets and trunks that a route leads a call to, whether or not they can be dialled.
func (p *Snapshot) Destinations(r *config.Route, vars *template.Vars) []*Target {
	targets, trunks, _ := p.named(r, vars)
	all := make([]*Target, 0, len(targets)+len(trunks))
	for _, name := range targets {
		all = append(all, p.Targets[name])
	}
	for _, name := range trunks {
		all = append(all, p.Callees[name])
	}
	return all
}

// DestinationsFor returns the targets and trunks of a route that a matching call can be sent to, in the order in which
// they are tried. share is the weight of the share by which the first one was chosen, or 0 if there was no choice. A
// caller that dials "+1507&SIP/x" can reach an agent, but only one whose URI does not contain the dialled text.
func (p *Snapshot) DestinationsFor(r *config.Route, vars *template.Vars) (all []*Target, share int) {
	v := *vars
	v.Direction = r.Direction
	return p.DestinationsNamed(r, &v, r.To, r.From)
}

// DestinationsNamed is DestinationsFor with the direction that vars has, and with other expressions for the user parts
// that may be dialled.
func (p *Snapshot) DestinationsNamed(r *config.Route, vars *template.Vars,
	naming ...*config.Numbers,
) (all []*Target, share int) {
	all = DialableOf(p.Destinations(r, vars), vars, naming...)
	if _, _, own := p.named(r, vars); own && len(r.Split) > 0 {
		share = splitBy(r, vars, all)
	}
	return all, share
}

// RowOf returns the row of a number in the number table, for templates, or nil if there is none.
func (p *Snapshot) RowOf(number string) template.Row {
	if row, ok := p.Numbers.Find(number); ok {
		return row.Row()
	}
	return nil
}

// DialableOf returns the targets for which Dialable is true. It changes all.
func DialableOf(all []*Target, vars *template.Vars, naming ...*config.Numbers) []*Target {
	return slices.DeleteFunc(all, func(t *Target) bool { return !Dialable(t, vars, naming...) })
}

// Dialable reports whether a target's URI can be rendered for a call. The URI must have a user part. Each text that it
// takes from the call's parties must be a number, or a user part that one of the expressions matches in full.
func Dialable(t *Target, vars *template.Vars, naming ...*config.Numbers) bool {
	for text := range t.Dial.URI.Dialled(vars) {
		if !config.IsDialString(text) && !Named(naming, text) {
			return false
		}
	}
	return !t.Dial.URI.DialsNobody(*vars)
}

// Named reports whether one of the expressions allows a text. It may match any part of a number, but must match a user
// part that is not a number in full.
func Named(naming []*config.Numbers, text string) bool {
	return slices.ContainsFunc(naming, func(n *config.Numbers) bool { return n.Allow(text) })
}

// RescueTargets returns the targets of a route's rescue. If the rescue names none, it returns the route's targets that
// come after the lost one.
func (p *Snapshot) RescueTargets(r *config.Route, vars, rescue *template.Vars, lost *Target) []*Target {
	all := p.Destinations(&config.Route{Targets: r.Rescue.Targets, Trunks: r.Rescue.Trunks}, rescue)
	if len(r.Rescue.Targets)+len(r.Rescue.Trunks) == 0 {
		all, _ = p.DestinationsFor(r, vars)
		i := slices.Index(all, lost)
		if i < 0 {
			return nil
		}
		all = all[i+1:]
	}
	return DialableOf(all, rescue, r.To, r.From)
}

// IndexOf returns the index of a route, or -1 if it does not belong to the snapshot.
func (p *Snapshot) IndexOf(r *config.Route) int {
	for i := range p.Routes {
		if &p.Routes[i] == r {
			return i
		}
	}
	return -1
}

// MaxDuration returns how long a call from a trunk to the target may last after its answer, or 0 for no limit. If the
// target is a trunk as well, the shorter limit counts.
func (t *Target) MaxDuration(from *Trunk) time.Duration {
	limit := from.Caller.MaxDuration
	if t.Trunk != nil && t.Trunk.MaxDuration > 0 && (limit <= 0 || t.Trunk.MaxDuration < limit) {
		return t.Trunk.MaxDuration
	}
	return limit
}
