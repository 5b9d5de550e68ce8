package media

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"flowbridge/media/latch"
	"flowbridge/media/packet"
	"flowbridge/media/quality"
	"flowbridge/media/stream"
)

// These are the errors of Engine.Resume, in addition to errAddress.
var (
	errState     = errors.New("not the state of a session")
	errPortTaken = errors.New("its ports are outside of media.ports, or taken")
)

// presently is how soon after a session is resumed a stream that existed before resumes. An agent that answers may need
// a moment.
const presently = 2 * time.Second

// Resume continues a session of another process on the same ports. The addresses come from st, not from sc. Settings
// stay; sounds and digits being sent are dropped. Flows that the kernel relays stay there. Take the state again at
// once: with SRTP nothing is sent before that. Events follow as in any session.
//
// The session owns the sockets that are handed over from then on, unless Resume returns an error.
func (e *Engine) Resume(sc SessionConfig, st SessionState) (*Session, error) {
	secure, err := e.check(&st)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	id, s, err := e.begin()
	if err != nil {
		return nil, err
	}
	defer e.opening.Done()

	var local [2]netip.AddrPort
	var fds [2]sockets
	for side := range st.Sides {
		local[side] = st.Sides[side].Local
		s.pair[side], err = e.claimPair(place{local[side].Addr(), s.worker}, local[side].Port(), sc.Sockets.of(Side(side)))
		if err != nil {
			for i, p := range s.pair[:side] {
				e.unclaim(place{local[i].Addr(), s.worker}, p, sc.Sockets.of(Side(i)))
			}
			return nil, fmt.Errorf("media: %v: %w", local[side], err)
		}
		fds[side] = s.pair[side].fd
	}
	e.awake.Add(1)
	s.relay.own = e.isOwn
	s.relay.init(id, local, fds, sc.OnEvent)
	s.relay.secure = secure
	s.resume(&st)
	s.inherit()
	if s.relay.enter() {
		s.relay.stages.CatchUp(st.Exact, e.now())
		s.relay.leave()
	}
	_ = s.worker.post(command{op: opOpen, relay: &s.relay}, false) // workers stop only when no session is being opened
	e.mu.Lock()
	e.sessions[id] = s
	e.mu.Unlock()
	if s.relay.hearing.started {
		s.awaitRTCP()
	}
	return s, nil
}

// check returns the security of a state if Resume can continue it.
func (e *Engine) check(st *SessionState) ([2]secure, error) {
	if st.Sides[SideA].Local.Port() == st.Sides[SideB].Local.Port() ||
		(st.Resumed > resumptionsMost && len(st.Keys) > 0 && !st.Exact) {
		return [2]secure{}, errState
	}
	for i := range st.Sides {
		s := &st.Sides[i]
		if !slices.Contains(e.config.Listen, s.Local.Addr()) {
			return [2]secure{}, fmt.Errorf("%v: %w", s.Local.Addr(), errAddress)
		}
		if !s.valid() || !st.Stages.Sides[i].Valid() {
			return [2]secure{}, errState
		}
	}
	return st.secure(e.now(), e.began)
}

func (s *SideState) valid() bool {
	unknown := func(c PayloadChange) bool { return c.From > 127 || c.To > 127 || c.Op > PayloadDrop }
	return !slices.ContainsFunc(s.Payloads, unknown) &&
		s.Peer.Latch <= latch.Off && s.Latch.Mode <= latch.Off && len(s.Payloads) <= maxPayloadChanges &&
		s.Stream.Base <= s.Stream.Top && s.Stream.Top < 1<<48 && s.Early >= 0 &&
		s.Early <= unconfirmedBound+1
}

// resume sets the session up as the state says. The session is not visible to others yet.
func (s *Session) resume(st *SessionState) {
	e, w := s.engine, &wanted{started: st.Hearing.Started}
	s.wanted = w
	for i := range st.Sides {
		p := e.permitted(st.Sides[i].Peer, st.Sides[i].Local.Addr())
		st.Sides[i].Peer = p
		s.muxed[i] = p.Mux
		w.peer[i], w.confirmed[i] = &p, st.Sides[i].Confirmed
		w.crypto[i], w.settings[i] = st.crypto(Side(i)), st.Stages.Sides[i].Settings
		if c := st.Sides[i].Payloads; len(c) > 0 {
			w.payloads[i] = new([maxPayloadChanges]PayloadChange)
			copy(w.payloads[i][:], c)
			s.relay.payloads[i] = *w.payloads[i]
		}
	}
	s.relay.resume(st, stream.Clock{Now: e.now(), Epoch: e.began})
}

// resume sets a new relay up as the state says.
func (r *relay) resume(st *SessionState, c stream.Clock) {
	r.note.kept, r.note.paused, r.note.resumed = st.Kept, st.Paused, st.Resumed
	if !st.Exact {
		r.note.kept, r.note.paused = true, true
		r.note.resumed = min(r.note.resumed, resumptionsMost) + 1
	}
	h := &st.Hearing
	r.hearing = hearing{
		started: h.Started, silent: h.Silent, last: c.Past(h.Last), spoke: h.Spoke, spokeAt: c.Past(h.SpokeAt),
		judged: h.Judged, missing: h.Missing, since: c.Past(h.Since),
	}
	if !st.Exact {
		r.hearing.last, r.hearing.since = c.Now, c.Now
	}
	r.stages.Restore(&st.Stages, st.Exact, c)
	for i := range st.Sides {
		s, p := &st.Sides[i], &r.party[i]
		p.confirmed, p.withheld, p.unconfirmed = s.Confirmed, s.Withheld, s.Early
		p.resume(s, st.Exact, c)
		r.ledger.located(Side(i), p.rtp.Source())
		died := !st.Exact && st.Died > 0 // then the stream may have started after the state was taken
		if ep := &r.endpoint[i][RTP]; ep.rtpState != nil || s.Stream.Started || s.Outlet.Begun || died {
			r.heard(Side(i)).stream.Rate = int64(s.Peer.ClockRate)
			ep.stream.Restore(&s.Stream, st.Exact, c)
			if died {
				ep.stream.Miss(c.Now-max(c.Past(st.Died), c.Past(st.At)), c.Now+presently)
			}
			ep.restoreOutlet(&s.Outlet, st.Exact, c)
			ep.count.ofRTP().resume(&s.RTPCount, &ep.stream, c)
		}
		r.ledger.flow[i][RTP].resume(&s.RTPCount)
		r.ledger.flow[i][RTCP].resume(&s.RTCPCount)
		if a := s.RTPCount.Refused; a.IsValid() {
			r.ledger.refused[i].Store(&a)
		}
		if s.Peer.Codec != "" {
			r.ledger.codec[i].Store(quality.ImpairmentOf(s.Peer.Codec))
		}
	}
	r.ledger.noCPU.Store(int64(max(st.NoCPU, 0)))
	r.stages.Held = r.excused() || !r.complete()
	r.restorePauses(st.Hearing.Pauses, st.Exact, c)
}

// resume restores the party's description and latch. The latch is locked again, so that a stranger can't replace a
// source that seems silent only because no process was listening. Settings that were made but not yet applied are
// applied.
func (p *party) resume(s *SideState, exact bool, c stream.Clock) {
	l, is := s.Latch, s.Peer.normal()
	is = p.resumeChecks(s, is, c.Now)
	p.named, p.rtcp.source = &is, sendable(s.RTCP)
	l.Named, l.Source = sendable(l.Named), sendable(l.Source)
	p.rtp = latch.Resume(&l, is.Believed, is.Listed, c.Until)
	if !exact {
		p.rtp.Hear(c.Now)
	}
	if p.rtp.Named() != is.RTP || l.Mode != is.Latch {
		was := is
		was.RTP = p.rtp.Named()
		p.named = &was
		p.set(&is, c.Now)
	}
}

func (c *countersRTP) resume(st *countState, s *stream.Stream, k stream.Clock) {
	if st.First == 0 {
		return
	}
	c.First.Store(int64(k.Past(st.First)))
	c.Last.Store(int64(k.Past(st.Last)))
	c.LostHere.Store(st.LostHere)
	c.LateHere.Store(st.LateHere)
	c.LateHereBursts.Store(st.LateRuns)
	c.Held.Store(int64(st.Held))
	c.keep(s, packet.Header{SSRC: st.SSRC, PayloadType: st.PayloadType & 0x7f})
}

func (c *counters) resume(st *countState) {
	c.RxPackets.Store(st.RxPackets)
	c.RxBytes.Store(st.RxBytes)
	c.TxPackets.Store(st.TxPackets)
	c.TxBytes.Store(st.TxBytes)
	if st.Dropped != (Drops{}) {
		to := c.dropped().all()
		for i, n := range st.Dropped.all() {
			to[i].Store(*n)
		}
	}
	if st.Reports > 0 || st.RTT > 0 {
		h := c.ofRTCP()
		h.RTT.Store(int64(st.RTT))
		h.Reports.Store(st.Reports)
		h.RemoteLoss.Store(st.RemoteLoss)
		h.RemoteLost.Store(st.RemoteLost)
		h.RemoteJitter.Store(st.RemoteJitter)
	}
}
