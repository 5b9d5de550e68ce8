package peers

import (
	"fmt"
	"hash/fnv"
	"slices"

	"flowbridge/config"
)

// routeMarks returns the marks of routes: of whose calls they take and where these go, and not of how that is done or
// where the route stands. By its mark a route is known again under another configuration.
func routeMarks(routes []config.Route) []uint64 {
	all := make([]uint64, len(routes))
	for i := range routes {
		r, hash := &routes[i], fnv.New64a()
		// never fails
		_, _ = fmt.Fprintf(hash, "%q %q %q %q %q %q %q", r.Trunk, r.Target, textOf(r.To), textOf(r.From), r.Direction,
			r.Targets, r.Trunks)
		// a mark of a route without such keys is the same in every version
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

// RouteMarked returns the index of the route with a mark, -1: none has it. Of several it is the one at a place, if it
// has the mark, or the first.
func (p *Snapshot) RouteMarked(mark uint64, place int) int {
	if place >= 0 && place < len(p.Marks) && p.Marks[place] == mark {
		return place
	}
	return slices.Index(p.Marks, mark)
}
