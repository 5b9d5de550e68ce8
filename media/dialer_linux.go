package media

// addDigit has a digit wait for its turn towards a side.
func (w *worker) addDigit(r *relay, to Side, t tone) error {
	ep := &r.endpoint[to.Other()][RTP]
	if ep.dest.size == 0 {
		return ErrNoDestination
	}
	if ep.dialer == nil {
		ep.dialer = &dialer{next: never}
	}
	if !ep.dialer.add(t, w.now) {
		return ErrDigitsWait
	}
	w.arm(ep)
	return nil
}

// dial sends the packet of a digit that is due into the stream from ep.
func (w *worker) dial(ep *endpoint) {
	d := ep.dialer
	if !d.dialing {
		switch l := ep.listener; {
		case d.count == 0:
			d.next = never
			return
		case l != nil && l.listening && !l.config.Divert:
			d.next = w.now + digitInterval // a key of the other side's is being relayed
			return
		}
		d.begin(&ep.outlet, &ep.stream, w.now)
	}
	over := d.write(&ep.outlet, &w.digit, w.now)
	ep.outlet.sent(d.timestamp, d.started)
	if w.emit(ep, w.digit[:]) { // if not, the next packet says the same
		ep.count.Digits.Add(1)
	}
	if over {
		w.quiet(ep)
	}
}
