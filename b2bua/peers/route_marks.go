package peers

import (
	"fmt"
	"hash/fnv"
	"slices"

	"flowbridge/config"
)

// routeMarks returns the marks of routes. A mark is a hash of the route's conditions and destinations, but not of its
// other settings or its position. It identifies the route in another configuration.
func routeMarks(routes []config.Route) []uint64 {
	all := make([]uint64, len(routes))
	for i := range routes {
		r, hash := &routes[i], fnv.New64a()
		// writing to a hash never fails
		_, _ = fmt.Fprintf(hash, "%q %q %q %q %q %q %q", r.Trunk, r.Target, textOf(r.To), textOf(r.From), r.Direction,
			r.Targets, r.Trunks)
		// written only if set, so that the mark of a route without such keys is the same in every version
		if r.Listed {
			_, _ = fmt.Fprintf(hash, " listed %q", r.Name)
		}
		if r.Hours != nil {
			_, _ = fmt.Fprintf(hash, " hours %s", r.Hours)
		}
		all[i] = max(hash.Sum64(), 1)
	}
	return all
}

func textOf(n *config.Numbers) string {
	if n == nil {
		return ""
	}
	return n.String()
}

// RouteMarked returns the index of the route with this mark, or -1 if there is none. If several routes have the mark,
// it returns place if that is one of them, and otherwise the first.
func (p *Snapshot) RouteMarked(mark uint64, place int) int {
	if place >= 0 && place < len(p.Marks) && p.Marks[place] == mark {
		return place
	}
	return slices.Index(p.Marks, mark)
}
