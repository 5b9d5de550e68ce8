package media

import "time"

// Alarms are for what must happen without a packet: a digit or a sound is being sent, the end of an event is
// missing, or silence answers. Only such endpoints are armed. Without an alarm the check costs one comparison per turn.

// due is when attend must be called for the endpoint.
func (ep *endpoint) due() time.Duration {
	due := never
	if ep.listener != nil {
		due = ep.listener.due()
	}
	if ep.dialer != nil {
		due = min(due, ep.dialer.next)
	}
	if ep.player != nil {
		due = min(due, ep.player.next)
	}
	if ep.answerer != nil {
		due = min(due, ep.answerer.Due())
	}
	return due
}

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
			w.attend(ep)
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

func (w *worker) attend(ep *endpoint) {
	if ep.listener != nil {
		ep.listener.expire(w.now)
	}
	if ep.dialer != nil && ep.dialer.next <= w.now {
		w.dial(ep)
	}
	if ep.player != nil && ep.player.playing && ep.player.next <= w.now {
		w.sound(ep)
	}
	if ep.answerer != nil && ep.answerer.Due() <= w.now {
		ep.answerer.Look(w.now)
		ep.detected()
	}
}
