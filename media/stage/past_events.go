package stage

import (
	"slices"

	"flowbridge/media/packet"
)

// eventsKept is how many events are remembered, so that their late and repeated packets are recognised.
const eventsKept = 8

// pastEvents is a ring of the latest events.
type pastEvents struct {
	ids       [eventsKept]packet.EventID
	next, met int
}

func (e *pastEvents) add(id packet.EventID) {
	e.ids[e.next] = id
	e.next, e.met = (e.next+1)%eventsKept, min(e.met+1, eventsKept)
}

func (e *pastEvents) has(id packet.EventID) bool { return slices.Contains(e.ids[:e.met], id) }

// all returns the events, oldest first.
func (e *pastEvents) all() (all []packet.EventID) {
	for i := range e.met {
		all = append(all, e.ids[(e.next-e.met+i+eventsKept)%eventsKept])
	}
	return all
}

func pastOf(all []packet.EventID) (e pastEvents) {
	for _, id := range all {
		e.add(id)
	}
	return e
}
