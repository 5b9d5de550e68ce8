package peers

import (
	"slices"

	"flowbridge/config"
)

// FirstRoute is the index of the first route that a call matches and that leads it anywhere, -1: none.
func (p *Snapshot) FirstRoute(vars *config.Vars) int {
	return slices.IndexFunc(p.Routes, func(r config.Route) bool {
		return Mismatch(&r, vars) == "" && p.reaches(&r, vars)
	})
}

// Mismatch is the first key of a route that a call does not match: target, trunk,
// to or from; "" when it matches them all. A route without target does not take the
// calls of targets.
func Mismatch(r *config.Route, vars *config.Vars) string {
	switch {
	case r.Target != vars.Target:
		return "target"
	case r.Trunk != "" && r.Trunk != vars.Trunk:
		return "trunk"
	case !r.To.Match(vars.To.Number):
		return "to"
	case !r.From.Match(vars.From.Number):
		return "from"
	default:
		return ""
	}
}

// reaches reports whether a route that a call matches has destinations for it.
func (p *Snapshot) reaches(r *config.Route, vars *config.Vars) bool {
	v := *vars
	v.Direction = r.Direction
	return slices.ContainsFunc(r.Targets, func(name string) bool { return Dialable(p.Targets[name], &v, r.To, r.From) }) ||
		slices.ContainsFunc(r.Trunks, func(name string) bool { return Dialable(p.Callees[name], &v, r.To, r.From) })
}

// DestinationsFor are the targets and trunks of a route that can be called for a call
// that matches it. A caller who names "+1507&SIP/x" gets to an agent, but not into the
// Request-URI of one that is called by the number.
func (p *Snapshot) DestinationsFor(r *config.Route, vars *config.Vars) []*Target {
	v := *vars
	v.Direction = r.Direction
	return DialableOf(p.Destinations(r), &v, r.To, r.From)
}

// DialableOf are those of the targets that can be called.
func DialableOf(all []*Target, vars *config.Vars, naming ...*config.Numbers) []*Target {
	return slices.DeleteFunc(all, func(t *Target) bool { return !Dialable(t, vars, naming...) })
}

// Dialable reports whether what the URI of a target takes from a call's parties is a
// number each, or a user part that one of the expressions names in full.
func Dialable(t *Target, vars *config.Vars, naming ...*config.Numbers) bool {
	for text := range t.Dial.URI.Dialled(vars) {
		if !config.IsDialString(text) && !Named(naming, text) {
			return false
		}
	}
	return true
}

// Named reports whether one of the expressions matches a number, or names a user part in
// full.
func Named(naming []*config.Numbers, text string) bool {
	return slices.ContainsFunc(naming, func(n *config.Numbers) bool { return n.Allow(text) })
}
