package media

import "slices"

// eventID tells events apart: all packets of one carry the timestamp of its start (RFC 4733 §2.2.1).
type eventID struct {
	ssrc, timestamp uint32
	code            uint8
}

// eventsKept is how many events are remembered, so that their late and repeated packets count as theirs.
const eventsKept = 8

// pastEvents is a ring of the last events.
type pastEvents struct {
	ids       [eventsKept]eventID
	next, met int
}

func (e *pastEvents) add(id eventID) {
	e.ids[e.next] = id
	e.next, e.met = (e.next+1)%eventsKept, min(e.met+1, eventsKept)
}

func (e *pastEvents) has(id eventID) bool { return slices.Contains(e.ids[:e.met], id) }
