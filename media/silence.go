package media

import "time"

// oneWayAfter is how long one side of a started session may speak before a side
// that has not been heard at all is reported.
const oneWayAfter = 2750 * time.Millisecond // and a tick of the worker, at most, so within 3 s

// silenceLimits is how long a started session may be silent.
type silenceLimits struct {
	start time.Duration // as long as no RTP came since Session.Start
	mid   time.Duration // once some came
}

// hearing is what of a session's RTP counts for silence and one-way audio. It is
// a value owned by the worker.
type hearing struct {
	started bool
	silent  bool          // EventSilent was posted
	last    time.Duration // the last RTP accepted, or Start, or the end of a hold

	spoke   [2]bool       // RTP was accepted from the side since Start
	spokeAt time.Duration // when the first of them did
	judged  bool          // nothing more is to be said of one-way audio, but that it is over
	missing [2]bool       // EventOneWay was posted of the side, and it is not heard yet
	since   time.Duration // when both sides were first, or again, free to speak
}

// start begins to count, and lets sources be learned.
func (r *relay) start(now time.Duration) {
	if r.hearing.started {
		return
	}
	r.hearing = hearing{started: true, last: now, since: now}
	for side := range r.party {
		r.party[side].rtp.learn(now)
	}
}

// hears takes account of RTP that was accepted from a side.
func (r *relay) hears(side Side, now time.Duration) {
	h := &r.hearing
	h.last = now
	if h.spoke[side] {
		return
	}
	if !h.spoke[side.Other()] {
		h.spokeAt = now
	}
	h.spoke[side] = true
	if h.missing[side] {
		h.missing[side] = false
		r.post(EventHeard{Side: side})
	}
}

// resumed counts anew where a side may speak, or want to hear, again, or is
// somewhere else. It is told how it was before.
func (r *relay) resumed(wasHeld, wasExcused, moved bool, now time.Duration) {
	if wasHeld && !r.held() {
		r.hearing.last = now
	}
	if moved || wasExcused && !r.excused() {
		r.hearing.since = now
	}
}

// held reports whether a side wants no media: then both may be silent.
func (r *relay) held() bool { return r.party[SideA].named.Held || r.party[SideB].named.Held }

// excused reports whether a side need not speak: it says so, or the other one
// does not want it.
func (r *relay) excused() bool {
	return r.held() || r.party[SideA].named.Mute || r.party[SideB].named.Mute
}

// checkSilence posts EventSilent when its time has come.
func (r *relay) checkSilence(now time.Duration, p silenceLimits) {
	h := &r.hearing
	if !h.started || h.silent || r.held() {
		return
	}
	never, limit := h.spoke == [2]bool{}, p.mid
	if never {
		limit = p.start
	}
	if since := now - h.last; since >= limit {
		h.silent = true
		r.post(EventSilent{Since: since, Never: never})
	}
}

// checkOneWay posts EventOneWay when its time has come, once.
func (r *relay) checkOneWay(now time.Duration) {
	h := &r.hearing
	if !h.started || h.judged || r.excused() || h.spoke == [2]bool{} {
		return
	}
	if h.spoke == [2]bool{true, true} {
		h.judged = true
		return
	}
	side := SideA
	if h.spoke[SideA] {
		side = SideB
	}
	if now-max(h.since, h.spokeAt) < oneWayAfter || !r.party[side].present() {
		return
	}
	h.judged, h.missing[side] = true, true
	r.post(EventOneWay{Side: side})
}

// present reports whether there is somebody to be heard: while a call is being
// transferred there may be nobody.
func (p *party) present() bool {
	return p.named.RTP.IsValid() || len(p.named.Believed)+len(p.named.Listed) > 0
}
