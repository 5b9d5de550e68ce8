package config

import (
	"slices"
	"strconv"
	"strings"
)

// Share is the part of a route's calls for one target or trunk.
type Share struct {
	Name   string
	Weight int // relative to the sum of all
}

// maxWeight limits the weight of a share.
const maxWeight = 1000

// shares reads and checks the key split of a route. names are the route's destinations.
func (s section) shares(names []string) (all []Share) {
	v, ok := s.fields["split"]
	if !ok {
		return nil
	}
	entries, ok := v.entries(join)
	kind, sum := integer(0, maxWeight), 0
	for _, e := range entries {
		if !slices.Contains(names, e.key) {
			v.l.fail(e.line, e.path, "is none of the route's targets or trunks",
				meant(e.key, names, "add it there, too: the others follow when it does not take a call"))
			ok = false
			continue
		}
		text, fine := e.scalar()
		if !fine {
			ok = false
			continue
		}
		if _, c := kind.parse(s)(text.text); !c.none() {
			if number, percent := strings.CutSuffix(text.text, "%"); percent {
				c.remedy = "write the number alone, " + number + ": a share is relative to the sum of all"
			}
			text.complain(c)
			ok = false
			continue
		}
		weight, _ := strconv.Atoi(text.text)
		sum += weight
		all = append(all, Share{e.key, weight})
	}
	switch {
	case !ok:
	case len(all) < 2:
		v.fail("has one share, which is all calls", "write a share for each that is to have calls: {new: 10, old: 90}")
	case sum == 0:
		v.fail("has no share above 0", "write a share for each that is to have calls: {new: 10, old: 90}")
	}
	return all
}

// Total returns the sum of the weights of a route's split. It is 0 if the route has none.
func (r *Route) Total() (sum int) {
	for _, s := range r.Split {
		sum += s.Weight
	}
	return sum
}

// Weight returns the weight of a target or trunk in a route's split. It is 0 if the route has none.
func (r *Route) Weight(name string) int {
	if i := slices.IndexFunc(r.Split, func(s Share) bool { return s.Name == name }); i >= 0 {
		return r.Split[i].Weight
	}
	return 0
}
