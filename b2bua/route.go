package b2bua

import (
	"slices"

	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// firstMatch is the index of the first route that a call matches, -1: none.
func firstMatch(p *peers.Snapshot, vars *config.Vars) int {
	return slices.IndexFunc(p.Routes, func(r config.Route) bool {
		return mismatch(&r, vars) == "" && reaches(p, &r, vars)
	})
}

// mismatch is the first key of a route that a call does not match: target, trunk,
// to or from; "" when it matches them all. A route without target does not take the
// calls of targets.
func mismatch(r *config.Route, vars *config.Vars) string {
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
func reaches(p *peers.Snapshot, r *config.Route, vars *config.Vars) bool {
	v := *vars
	v.Direction = r.Direction
	return slices.ContainsFunc(r.Targets, func(name string) bool { return dialable(p.Targets[name], &v, r.To, r.From) }) ||
		slices.ContainsFunc(r.Trunks, func(name string) bool { return dialable(p.Callees[name], &v, r.To, r.From) })
}

// destinations are the targets and trunks of a route that can be called for a call
// that matches it. A caller who names "+1507&SIP/x" gets to an agent, but not into the
// Request-URI of one that is called by the number.
func destinations(p *peers.Snapshot, r *config.Route, vars *config.Vars) []*peers.Target {
	v := *vars
	v.Direction = r.Direction
	return dialableOf(p.Destinations(r), &v, r.To, r.From)
}

// dialableOf are those of the targets that can be called.
func dialableOf(all []*peers.Target, vars *config.Vars, naming ...*config.Numbers) []*peers.Target {
	return slices.DeleteFunc(all, func(t *peers.Target) bool { return !dialable(t, vars, naming...) })
}

// dialable reports whether what the URI of a target takes from a call's parties is a
// number each, or a user part that one of the expressions names in full.
func dialable(t *peers.Target, vars *config.Vars, naming ...*config.Numbers) bool {
	for text := range t.Dial.URI.Dialled(vars) {
		if !config.IsDialString(text) && !named(naming, text) {
			return false
		}
	}
	return true
}

// named reports whether one of the expressions matches a number, or names a user part in
// full.
func named(naming []*config.Numbers, text string) bool {
	return slices.ContainsFunc(naming, func(n *config.Numbers) bool { return n.Allow(text) })
}

// dialNames are the names of targets.
func dialNames(targets []*peers.Target) (names []string) {
	for _, t := range targets {
		names = append(names, t.Dial.Name)
	}
	return names
}
