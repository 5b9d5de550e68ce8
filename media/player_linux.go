package media

// play begins a sound towards a side, in the place of another.
func (w *worker) play(r *relay, to Side, p Play) {
	ep := &r.endpoint[to.Other()][RTP]
	if ep.player == nil {
		ep.player = &player{}
	}
	if !ep.player.speaks() && !p.Mix {
		ep.outlet.begin(&ep.stream, w.now)
	}
	ep.player.start(p, w.now)
	w.arm(ep)
	w.quiet(ep) // where one that took the place of speech is followed by one that does not
}

// stopPlay ends the sound towards a side.
func (w *worker) stopPlay(r *relay, to Side) {
	if ep := &r.endpoint[to.Other()][RTP]; ep.player != nil && ep.player.playing {
		ep.player.stop()
		w.quiet(ep)
	}
}

// yield has the sound pause for a packet from ep.
func (w *worker) yield(ep *endpoint) {
	p := ep.player
	p.next = w.now + yieldFor
	if !p.paused {
		p.paused = true
		w.quiet(ep)
	}
}

// sound sends the frame that is due into the stream from ep. A digit goes first.
func (w *worker) sound(ep *endpoint) {
	p := ep.player
	switch {
	case p.play.Mix:
		w.played(ep)
		return
	case p.paused: // nothing came for a while
		p.paused, p.frames = false, 0
		if ep.dialer == nil || !ep.dialer.dialing {
			ep.outlet.begin(&ep.stream, w.now)
		}
	}
	if ep.dialer != nil && ep.dialer.dialing {
		p.next = ep.dialer.next
		p.frames = 0
		return
	}
	frame, over := p.write(&ep.outlet, &w.frame, w.now)
	if ep.dest.size > 0 && w.emit(ep, frame) {
		ep.count.Played.Add(1)
	}
	if over {
		w.played(ep)
	}
}

// played ends a sound that has come to its end.
func (w *worker) played(ep *endpoint) {
	id := ep.player.play.ID
	ep.player.stop()
	w.quiet(ep)
	ep.relay.post(EventPlayed{Side: ep.side.Other(), ID: id})
}

// quiet has the stream from ep relayed again, unless something else of ours is
// still being sent in its place.
func (w *worker) quiet(ep *endpoint) {
	if !ep.speaks() {
		ep.outlet.end(&ep.stream, w.now)
		_ = ep.relay.route()
	}
}
