package media

import (
	"time"

	"flowbridge/media/stream"
)

// State returns the state another process needs to continue the session. After the first call, EventChanged says when
// to take it again. With SRTP, packets then wait for the new state, and so they do after Engine.Resume: their numbers
// are reserved in the state, so it must be on disk before anything else happens to the session. State is cheap, and its
// result must not be modified. After Close it is meaningless.
func (s *Session) State() SessionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state(false)
}

// state returns the session's state. The caller must hold s.mu.
func (s *Session) state(exact bool) SessionState {
	st := SessionState{At: s.engine.began + s.engine.now(), Exact: exact}
	if r := &s.relay; r.enter() {
		if !exact {
			r.noted()
		}
		r.state(&st, s.engine.began)
		r.leave()
	}
	s.wanted.state(&st)
	return st
}

// noted records that a state is being taken, and reserves the packet numbers that it will contain.
func (r *relay) noted() {
	r.note.kept, r.note.asked, r.note.paused, r.note.again = true, false, false, 0
	r.stages.Noted()
	for side := range r.secure {
		for _, s := range []*sealer{r.secure[side].out, r.secure[side].earlier} {
			if s != nil {
				s.noted()
			}
		}
	}
}

// state adds the latest settings to a state.
func (w *wanted) state(st *SessionState) {
	if w == nil {
		return
	}
	st.Hearing.Started = st.Hearing.Started || w.started
	for i := range st.Sides {
		s := &st.Sides[i]
		if p := w.peer[i]; p != nil {
			s.Peer = *p
		}
		if c := w.payloads[i]; c != nil {
			s.Payloads = c[:]
		}
		st.Stages.Sides[i].Settings = w.settings[i]
		s.Confirmed = s.Confirmed || w.confirmed[i]
		if c := w.crypto[i]; c != nil && !st.uses(Side(i), c) {
			s.Crypto = c
		}
	}
}

// uses reports whether the keys in c are those in use.
func (st *SessionState) uses(side Side, c *Crypto) bool {
	is := st.inUse(side)
	return !c.Awaited && is.Receive.Same(c.Receive) && is.Send.Same(c.Send)
}

// state writes the state of what the session has relayed into st. The caller must have the turn. epoch is the epoch of
// this process's clock, by which times are converted to the shared clock.
func (r *relay) state(st *SessionState, epoch time.Duration) {
	c := stream.Clock{Now: st.At - epoch, Epoch: epoch}
	at := c.At
	h := &r.hearing
	st.Hearing = hearingState{
		Started: h.started, Silent: h.silent, Last: at(h.last), Spoke: h.spoke, SpokeAt: at(h.spokeAt),
		Judged: h.judged, Missing: h.missing, Since: at(h.since), Pauses: r.pauses(at),
	}
	st.Resumed, st.Kept, st.Paused = r.note.resumed, r.note.kept, r.note.paused
	for i := range st.Sides {
		s, p := &st.Sides[i], &r.party[i]
		s.Local = r.local[i]
		s.Confirmed, s.Early, s.Withheld, s.RTCP = p.confirmed, p.unconfirmed, p.withheld, p.rtcp.source
		s.Latch = p.rtp.State(at)
		p.saveChecks(s)
		if ep := &r.endpoint[i][RTP]; ep.rtpState != nil {
			ep.stream.Save(&s.Stream, c)
			ep.saveOutlet(&s.Outlet, st.Exact, c)
		}
		r.ledger.flow[i][RTP].state(&s.RTPCount, at)
		r.ledger.flow[i][RTCP].state(&s.RTCPCount, at)
		if refused := r.ledger.refused[i].Load(); refused != nil {
			s.RTPCount.Refused = *refused
		}
	}
	st.NoCPU = time.Duration(r.ledger.noCPU.Load())
	r.stages.Save(&st.Stages, st.Exact, c)
	r.keys(st, at)
}

func (c *counters) state(st *countState, at func(time.Duration) time.Duration) {
	st.RxPackets, st.RxBytes = c.RxPackets.Load(), c.RxBytes.Load()
	st.TxPackets, st.TxBytes = c.TxPackets.Load(), c.TxBytes.Load()
	if d := c.drops.Load(); d != nil {
		to := st.Dropped.all()
		for i, n := range d.all() {
			*to[i] = n.Load()
		}
	}
	if h := c.rtp.Load(); h != nil {
		st.SSRC, st.PayloadType = h.SSRC.Load(), uint8(h.PayloadType.Load())
		st.First, st.Last = at(time.Duration(h.First.Load())), at(time.Duration(h.Last.Load()))
		st.LostHere, st.LateHere, st.LateRuns = h.LostHere.Load(), h.LateHere.Load(), h.LateHereBursts.Load()
		st.Held = time.Duration(h.Held.Load())
	}
	if h := c.rtcp.Load(); h != nil {
		st.RTT, st.Reports, st.RemoteLoss = time.Duration(h.RTT.Load()), h.Reports.Load(), h.RemoteLoss.Load()
		st.RemoteLost, st.RemoteJitter = h.RemoteLost.Load(), h.RemoteJitter.Load()
	}
}

// keys writes the keys with their packet numbers, in two allocations no matter how many there are.
func (r *relay) keys(st *SessionState, at func(time.Duration) time.Duration) {
	keys, sources := 0, 0
	for i := range r.secure {
		s := &r.secure[i]
		for _, o := range []*opener{s.in, s.former} {
			if o.keyed() {
				keys, sources = keys+1, sources+len(o.streams)+len(o.reports)
			}
		}
		for _, o := range []*sealer{s.out, s.earlier} {
			if o.keyed() {
				keys, sources = keys+1, sources+len(o.streams)+len(o.reports)
			}
		}
	}
	if keys == 0 {
		return
	}
	st.Keys = make([]keyState, 0, keys)
	all := make([]numberState, 0, sources)
	for i := range r.secure {
		s := &r.secure[i]
		for use, o := range []*opener{keyReceive: s.in, keyReceiveFormer: s.former} {
			if !o.keyed() {
				continue
			}
			k := keyState{Side: Side(i), Use: keyUse(use), Keys: o.keys}
			if keyUse(use) == keyReceiveFormer && s.formerUntil != never {
				k.Until = at(s.formerUntil)
			}
			all, k.Streams, k.Reports = o.state(all)
			st.Keys = append(st.Keys, k)
		}
		for use, o := range []*sealer{s.out, s.earlier} {
			if !o.keyed() {
				continue
			}
			k := keyState{Side: Side(i), Use: keySend + keyUse(use), Keys: o.keys}
			all, k.Streams, k.Reports = o.state(all)
			st.Keys = append(st.Keys, k)
		}
	}
}

func (o *opener) state(all []numberState) (rest, streams, reports []numberState) {
	first := len(all)
	for ssrc, w := range o.streams {
		all = append(all, numberState{SSRC: ssrc, Top: w.top, Seen: w.seen, Blind: w.blind})
	}
	between := len(all)
	for ssrc, w := range o.reports {
		all = append(all, numberState{SSRC: ssrc, Top: w.top, Seen: w.seen, Blind: w.blind})
	}
	return all, all[first:between:between], all[between:len(all):len(all)]
}

func (s *sealer) state(all []numberState) (rest, streams, reports []numberState) {
	first := len(all)
	for ssrc, n := range s.streams {
		all = append(all, numberState{SSRC: ssrc, Top: n.top, Seen: n.seen, Shift: n.shift, Bound: n.bound, Blind: n.follow})
	}
	between := len(all)
	for ssrc, bound := range s.reports {
		index, _ := s.ctx.Index(ssrc)
		all = append(all, numberState{SSRC: ssrc, Top: uint64(index), Bound: bound})
	}
	return all, all[first:between:between], all[between:len(all):len(all)]
}
