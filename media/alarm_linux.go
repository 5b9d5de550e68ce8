package media

import "time"

// Alarms are for stages that have to act even if no packet arrives. Only the endpoints of such stages are armed. With
// no alarm set, the check costs one comparison per turn.

// due returns when the endpoint's stages next have to act.
func (ep *endpoint) due() time.Duration { return ep.relay.stages.Due(ep.side) }

// arm schedules an endpoint. It must be called whenever the endpoint may have become due earlier. If the endpoint is
// due later than planned, ring notices by itself.
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

// ring runs the endpoints that are due and sets the next alarm.
func (w *worker) ring() {
	w.alarm = never
	kept := 0
	for i := 0; i < len(w.armed); i++ { // running one endpoint may arm others
		ep := w.armed[i]
		if !ep.relay.enter() {
			continue
		}
		if ep.due() <= w.now {
			ep.relay.stages.Attend(ep.side, w.now)
		}
		if due := ep.due(); due != never {
			w.alarm = min(w.alarm, due)
			w.armed[kept] = ep
			kept++
		} else {
			ep.armed = false
		}
		ep.relay.leave()
	}
	clear(w.armed[kept:])
	w.armed = w.armed[:kept]
}
