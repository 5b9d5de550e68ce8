package media

import "time"

// oneWayAfter is how long one side of a started session may speak before a silent other side is reported.
const oneWayAfter = 2750 * time.Millisecond // the worker adds at most one tick, so this stays within 3 s

type silenceLimits struct {
	start time.Duration // limit before the first RTP since Session.Start
	mid   time.Duration // limit after the first RTP

	onOutage func(Outage) // may be nil
}

// hearing tracks a session's RTP to detect silence and one-way audio. It is a value owned by the worker.
type hearing struct {
	started bool
	silent  bool    // EventSilent was posted
	judged  bool    // one-way audio has been decided; only the end of it may still be posted
	spoke   [2]bool // RTP was accepted from the side since Start
	missing [2]bool // EventOneWay was posted for the side, which still has not been heard

	last    time.Duration // the latest of: the last accepted RTP, Start, the end of a hold
	spokeAt time.Duration // when the first side in spoke was heard
	since   time.Duration // when both sides were last free to start speaking
}

// start starts the timers and opens the window in which sources are learned.
func (r *relay) start(now time.Duration) {
	if r.hearing.started {
		return
	}
	r.hearing = hearing{started: true, last: now, since: now}
	for side := range r.party {
		r.party[side].rtp.Learn(now)
	}
}

func (r *relay) hears(side Side, now time.Duration) {
	h := &r.hearing
	h.last = max(h.last, now)
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

// resumed restarts the timers when a side may speak or listen again, or has moved. The parameters describe the state
// before the change.
func (r *relay) resumed(wasHeld, wasExcused, moved bool, now time.Duration) {
	if wasHeld && !r.held() {
		r.hearing.last = now
	}
	if moved || wasExcused && !r.excused() {
		r.hearing.since = now
	}
}

// held reports whether a side wants no media. Then both sides may be silent.
func (r *relay) held() bool { return r.party[SideA].named.Held || r.party[SideB].named.Held }

// excused reports whether a side may stay silent, because either side is held or sends no media (Mute).
func (r *relay) excused() bool {
	return r.held() || r.party[SideA].named.Mute || r.party[SideB].named.Mute
}

// complete reports whether both sides have an address.
func (r *relay) complete() bool {
	return r.party[SideA].named.RTP.IsValid() && r.party[SideB].named.RTP.IsValid()
}

// isSilent reports whether a session has reached its silence limit and has not been reported for it yet.
func (r *relay) isSilent(now time.Duration, p silenceLimits) bool {
	h := &r.hearing
	if !h.started || h.silent || r.held() {
		return false
	}
	limit := p.mid
	if h.spoke == [2]bool{} {
		limit = p.start
	}
	if now-h.last >= limit {
		r.refresh(atOnce)
	}
	return now-h.last >= limit
}

func (r *relay) fallSilent(now time.Duration) {
	h := &r.hearing
	h.silent = true
	r.post(EventSilent{Since: now - h.last, Never: h.spoke == [2]bool{}})
}

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

// present reports whether the party has an address. It may have none during a transfer.
func (p *party) present() bool {
	return p.named.RTP.IsValid() || len(p.named.Believed)+len(p.named.Listed) > 0
}
