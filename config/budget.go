package config

import "slices"

// The values of targets[].overflow.
const (
	OverflowTCP  = "tcp"
	OverflowTrim = "trim"
)

// Budget is the section `budget` of a target.
type Budget struct {
	// The bytes of the whole INVITE. Default: 1300 if transport: udp is set explicitly, else 1100.
	Size int `key:"size" default:"1100" min:"500" max:"61440"`
}

// pathSize is a message size that fits into a datagram on any path (RFC 3261 section 18.1.1).
const pathSize = 1300

// trunkBudget returns the budget of calls placed to trunks.
func trunkBudget() Budget { return Budget{Size: pathSize} }

// overBudget sets Overflow if the file does not. A target with an explicit transport: udp gets all its INVITEs over
// UDP.
func (t *Target) overBudget(s section) {
	stays := s.has("transport") && t.Transport == TransportUDP
	if stays && t.Overflow != OverflowTCP && !s.wrote("budget", "size") {
		t.Budget.Size = pathSize
	}
	switch {
	case t.Overflow != "":
	case len(RegionsOf(t.Kind)) > 0 && !stays:
		t.Overflow = OverflowTCP // both platforms document TCP on the same port as UDP
	default:
		t.Overflow = OverflowTrim
	}
}

// wrote reports whether a section within this one has a key in the file. It does not report errors of that section
// again.
func (s section) wrote(name, key string) bool {
	v, ok := s.fields[name]
	if !ok || s.broken {
		return false
	}
	all, _ := value{l: newLoader("", nil, nil), node: v.node, path: v.path}.entries(join)
	return slices.ContainsFunc(all, func(e entry) bool { return e.key == key })
}
