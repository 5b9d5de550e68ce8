package check

import (
	"fmt"
	"slices"
	"strings"

	"flowbridge/config"
)

// deadTransfers warns of targets that may transfer calls to numbers, but whose
// transfers would lead to nowhere: there is no route for them, and the trunk that the call
// came from can't be called.
func deadTransfers(cfg *config.Config) []warning {
	var found []warning
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		routed := slices.ContainsFunc(cfg.Routes, func(r config.Route) bool { return r.Target == t.Name })
		if t.Transfer != config.TransferLocal || len(t.TransferNumbers) == 0 || routed { // hosts are called by their URI
			continue
		}
		if from := deadEnds(cfg, t.Name); len(from) > 0 {
			found = append(found, warning{
				fmt.Sprintf("target %s may transfer calls to numbers (transfer: local), but those of trunk %s have nowhere to go", t.Name, strings.Join(from, ", ")),
				fmt.Sprintf("write uri below the trunk, or a route with target: %s and trunks", t.Name),
			})
		}
	}
	return found
}

// deadEnds are the trunks without uri whose calls go to a target.
func deadEnds(cfg *config.Config, target string) []string {
	var names []string
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		leads := slices.ContainsFunc(cfg.Routes, func(r config.Route) bool {
			return r.Target == "" && (r.Trunk == "" || r.Trunk == t.Name) && slices.Contains(r.Targets, target)
		})
		if t.URI == nil && leads {
			names = append(names, t.Name)
		}
	}
	return names
}
