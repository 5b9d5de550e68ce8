package media

import (
	"slices"

	"flowbridge/media/packet"
)

// eventsKept is how many events are remembered, so that their late and repeated packets count as theirs.
const eventsKept = 8

// pastEvents is a ring of the last events.
type pastEvents struct {
	ids       [eventsKept]packet.EventID
	next, met int
}

func (e *pastEvents) add(id packet.EventID) {
	e.ids[e.next] = id
	e.next, e.met = (e.next+1)%eventsKept, min(e.met+1, eventsKept)
}

func (e *pastEvents) has(id packet.EventID) bool { return slices.Contains(e.ids[:e.met], id) }
