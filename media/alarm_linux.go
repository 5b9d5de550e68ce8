package media

import "time"

// Alarms are for what stages do without a packet. Only such endpoints are armed. Without an alarm the check costs one
// comparison per turn.

// due is when the stages must be attended to for the endpoint.
func (ep *endpoint) due() time.Duration { return ep.relay.stages.Due(ep.side) }

// arm schedules an endpoint. It is called whenever the endpoint may be due earlier than before. ring notices when it
// is due later.
func (w *worker) arm(ep *endpoint) {
	due := ep.due()
	if due == never {
		return
	}
	w.alarm = min(w.alarm, due)
	if !ep.armed {
		ep.armed = true
		w.armed = append(w.armed, ep)
	}
}

// ring attends to the endpoints that are due and sets the next alarm.
func (w *worker) ring() {
	w.alarm = never
	rest := w.armed[:0]
	for _, ep := range w.armed {
		if !ep.relay.enter() {
			continue
		}
		if ep.due() <= w.now {
			ep.relay.stages.Attend(ep.side, w.now)
		}
		if due := ep.due(); due != never {
			w.alarm = min(w.alarm, due)
			rest = append(rest, ep)
		} else {
			ep.armed = false
		}
		ep.relay.leave()
	}
	clear(w.armed[len(rest):])
	w.armed = rest
}
