package fleet

import (
	"cmp"
	"slices"
	"time"
)

// The timing of heartbeats.
const (
	// beatEvery is the time between two heartbeats. beatTimeout is the time limit for one.
	beatEvery   = 2 * time.Second
	beatTimeout = 3 * time.Second
	// liveFor is how long a node counts as live after a heartbeat.
	liveFor = 6 * time.Second
	// steadyFor bounds the age of a node's own last heartbeat. If it is older, the others' heartbeats may be late for the
	// same reason, and the node does not conclude from their age that they have vanished.
	steadyFor = liveFor / 2
)

// Member is a node's row in the database.
type Member struct {
	ID, Name, Version string
	// Seat is the seat that the node has or, with Standby, stands by for. It may be empty.
	Seat    string
	Standby bool
	// API is the URL at which other nodes reach the node's admin API, like http://203.0.113.5:8080. It is empty if they
	// can't.
	API string
	// Numbers identifies the node's table of numbers: see NoNumbers. It is empty if unknown.
	Numbers string
	// SeatKey identifies the secret of Seat: see Seat.SameSecret. It is empty if unknown.
	SeatKey string
	// Proof shows that Name and API were written by a node that has the secret of its seat: see Fleet.Find. It may be
	// empty.
	Proof string
	// Spare is why a node that does not stand by has no part of the caps: it is idle, or unknown, as in rows of older
	// versions and rows written by hand. It is empty if the node has taken a call lately or has a seat.
	Spare string
	// Age is the age of the node's last heartbeat, by the database's clock.
	Age time.Duration
}

// NoNumbers is the Member.Numbers of a node without a table of numbers. For other nodes Member.Numbers is the start of
// the file's SHA-256.
const NoNumbers = "none"

// Live reports whether the node's last heartbeat is recent.
func (m Member) Live() bool { return m.Age <= liveFor }

// Place is a node's place, from 0, among the nodes that share the caps.
type Place struct{ Index, Nodes int }

// Live returns the members that may take calls, in the order of their names. This is also the order of places.
func Live(members []Member) []Member {
	live := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return !m.Live() || m.Standby })
	slices.SortFunc(live, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return live
}

// sharing returns the members of live that share the caps with node id. A node without calls leaves its part to the
// others. For its next calls it has the part that it would have if all such nodes had calls, too.
func sharing(live []Member, id string) []Member {
	spare := slices.ContainsFunc(live, func(m Member) bool { return m.ID == id && m.Spare != "" })
	return slices.DeleteFunc(slices.Clone(live), func(m Member) bool {
		return m.ID != id && (m.Spare == "unknown" || m.Spare != "" && !spare)
	})
}

// census holds a node's knowledge of the other nodes. It has no lock and no clock.
type census struct {
	place   Place
	there   []Member  // members live at the last look, including standbys
	missing []Member  // members that are not live, have not left, and were not replaced by a node of the same name
	settled time.Time // until then, a missing node's heartbeat may be late for the same reason as this node's
}

// take counts the members. steady says that this node's own heartbeats are regular. vanished and back are the members
// whose state has changed since the last look.
func (c *census) take(id string, members []Member, steady bool, now time.Time) (vanished, back []Member) {
	if !steady {
		c.settled = now.Add(liveFor)
	}
	live := Live(members)
	late := len(live) < c.place.Nodes || slices.ContainsFunc(c.there, func(t Member) bool {
		return !slices.ContainsFunc(members, func(m Member) bool { return m.ID == t.ID && m.Live() })
	})
	if late && now.Before(c.settled) {
		return nil, nil
	}
	there := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return !m.Live() })
	missing := slices.DeleteFunc(slices.Clone(members), func(m Member) bool {
		return m.Live() || slices.ContainsFunc(there, func(o Member) bool { return o.Name == m.Name })
	})
	vanished, back = both(missing, c.there), both(there, c.missing)
	c.there, c.missing = there, missing
	share := sharing(live, id)
	if i := slices.IndexFunc(share, func(m Member) bool { return m.ID == id }); i >= 0 { // else this node stands by
		c.place = Place{i, len(share)}
	}
	return vanished, back
}

// both returns the members that are in both lists.
func both(these, those []Member) []Member {
	return slices.DeleteFunc(slices.Clone(these), func(m Member) bool {
		return !slices.ContainsFunc(those, func(o Member) bool { return o.ID == m.ID })
	})
}
