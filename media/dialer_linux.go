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
		d.begin(&ep.stream, ep.relay.rewrite[ep.side], w.now)
	}
	over := d.write(&w.digit, w.now)
	if w.emit(ep, w.digit[:]) { // if not, the next packet says the same
		ep.count.Digits.Add(1)
	}
	if over {
		d.stop(&ep.stream, ep.relay.rewrite[ep.side], w.now)
		_ = ep.relay.route()
	}
}

// blend says whether to relay a packet that comes beside digits of ours.
func (w *worker) blend(ep *endpoint, h rtpHeader) bool {
	relay, shifted := ep.dialer.pass(h, ep.stream.rate, ep.relay.rewrite[ep.side], w.now)
	if shifted {
		_ = ep.relay.route()
	}
	if !relay {
		ep.count.Replaced.Add(1)
	}
	return relay
}
