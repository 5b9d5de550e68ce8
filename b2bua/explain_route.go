package b2bua

import (
	"fmt"
	"strings"

	"flowbridge/config"
)

// routes says why the routes before the one that was found don't match.
func (x *explainer) routes(c *Call, found int) {
	for i := range x.server.cfg.Routes {
		r := &x.server.cfg.Routes[i]
		report := RouteReport{Route: routeName(i), Matches: i == found}
		switch mismatch(r, &c.vars) {
		case "target":
			report.Why = "it is for calls of trunks"
			if r.Target != "" {
				report.Why = "it is for calls of target " + r.Target
			}
		case "trunk":
			report.Why = "it is for trunk " + r.Trunk
		case "to":
			report.Why = fmt.Sprintf("the called number %s does not match to: %s", c.vars.To.Number, r.To)
		case "from":
			report.Why = fmt.Sprintf("the calling number %s does not match from: %s", c.vars.From.Number, r.From)
		default:
			report.Why = matchWords(r)
		}
		x.out.Routes = append(x.out.Routes, report)
		if i == found {
			return
		}
	}
}

// matchWords says what a route asks for that the call has.
func matchWords(r *config.Route) string {
	var why []string
	if r.Trunk != "" {
		why = append(why, "trunk "+r.Trunk)
	}
	if r.Target != "" {
		why = append(why, "target "+r.Target)
	}
	if r.To != nil {
		why = append(why, "to: "+r.To.String())
	}
	if r.From != nil {
		why = append(why, "from: "+r.From.String())
	}
	if why == nil {
		return "it takes every call"
	}
	return "it matches " + strings.Join(why, ", ")
}
