package media

import (
	"slices"
	"time"
)

// socketChange gives a session sockets or takes some away.
type socketChange struct {
	opened [2]sockets // indexed by side and kind; -1 means no change
	close  [2]bool    // RTCP sockets to close, by side
	closed [2]bool    // RTCP sockets that the worker has let go, by side
	share  bool       // prepare to steer the session's ports; the worker sets steer to their addresses
	steer  *steering  // let the session's own sockets go; nil means no change
	done   bool       // set when the worker has let the sockets of steer go
	reopen *Engine    // opens all sockets that steering has closed; nil means no change
}

func newSocketChange() *socketChange {
	return &socketChange{opened: [2]sockets{{-1, -1}, {-1, -1}}}
}

// changeSockets carries out a change. It keeps an RTCP socket that has been used since the change was requested.
func (w *worker) changeSockets(r *relay, c *socketChange) {
	if c.reopen != nil {
		w.unsteer(c.reopen, r, c)
	}
	for _, ep := range r.endpoints() {
		if fd := c.opened[ep.side][ep.kind]; fd >= 0 {
			ep.fd = fd
			w.serves(fd, ep)
		}
	}
	for _, side := range []Side{SideA, SideB} {
		ep := &r.endpoint[side][RTCP]
		if c.close[side] && (r.party[side].named.Mux || !r.ledger.reported()) {
			w.serves(ep.fd, nil)
			ep.fd, c.closed[side] = -1, true
		}
	}
	switch {
	case c.share:
		if s, ok := w.share(r); ok {
			c.steer = &s
		}
	case c.steer != nil:
		c.done = w.steer(r, *c.steer)
	}
}

// reported reports whether either side has sent RTCP.
func (l *ledger) reported() bool {
	return l.flow[SideA][RTCP].RxPackets.Load()+l.flow[SideB][RTCP].RxPackets.Load() > 0
}

// silentRTCP is a session whose RTCP sockets may have to be closed.
type silentRTCP struct {
	id    uint64
	at    time.Duration // when to check
	muxed bool          // close only the sockets of sides with RTCP on their RTP port
}

// awaitRTCP arranges to close the session's RTCP sockets later, if nothing arrives there.
func (s *Session) awaitRTCP() { s.engine.lookAtRTCP(s, reportsWithin, false) }

func (e *Engine) lookAtRTCP(s *Session, after time.Duration, muxed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.silent = append(e.silent, silentRTCP{id: s.relay.id, at: e.now() + after, muxed: muxed})
}

// reopenRTCP reopens a side's closed RTCP socket, because the side has a new description. A side with RTCP on its RTP
// port needs none.
func (s *Session) reopenRTCP(side Side, muxed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.muxed[side]
	s.muxed[side] = muxed
	p := &s.pair[side]
	switch {
	case s.closed:
	case muxed && !was:
		s.engine.lookAtRTCP(s, 0, true)
	case !muxed && p.fd[RTCP] < 0 && p.fd[RTP] >= 0: // without an RTP socket, the session is steered
		fd, err := s.engine.open(place{s.relay.local[side].Addr(), s.worker}, p.port, RTCP)
		if err != nil {
			return // another process has taken the port: RTP continues without RTCP
		}
		p.fd[RTCP] = fd
		c := newSocketChange()
		c.opened[side][RTCP] = fd
		_ = s.worker.post(command{op: opSockets, relay: &s.relay, sockets: c}, false)
		s.awaitRTCP()
	}
}

// closingMost is how many sessions are locked at once to close their RTCP sockets.
const closingMost = 64

// closeSilent closes RTCP sockets if nothing arrived there for reportsWithin after the answer, and also the RTCP
// sockets of sides with RTCP on their RTP port.
func (e *Engine) closeSilent(now time.Duration) {
	var due []closing
	e.mu.Lock()
	e.silent = slices.DeleteFunc(e.silent, func(x silentRTCP) bool {
		if x.at > now {
			return false
		}
		s := e.sessions[x.id]
		// Add each session only once, because it will be locked.
		if at := slices.IndexFunc(due, func(c closing) bool { return c.Session == s }); at >= 0 {
			due[at].muxedOnly = due[at].muxedOnly && x.muxed
		} else if s != nil {
			due = append(due, closing{Session: s, muxedOnly: x.muxed})
		}
		return true
	})
	e.mu.Unlock()
	for some := range slices.Chunk(due, closingMost) {
		e.closeRTCP(some)
	}
}

// closing is a session whose RTCP sockets are being closed.
type closing struct {
	*Session
	muxedOnly bool
	change    *socketChange
}

// closeRTCP makes the workers let go of RTCP sockets and closes them. Until it returns, the pairs can't be leased to
// other sessions.
func (e *Engine) closeRTCP(some []closing) {
	for i := range some {
		c := &some[i]
		c.mu.Lock()
		defer c.mu.Unlock()
		c.change = newSocketChange()
		for side, p := range c.pair {
			c.change.close[side] = !c.closed && p.fd[RTCP] >= 0 && (c.muxed[side] || !c.muxedOnly)
		}
		_ = c.worker.post(command{op: opSockets, relay: &c.relay, sockets: c.change}, false)
	}
	e.order(opSync) // if a worker has stopped, its changes are not marked as done
	for _, c := range some {
		for side, closed := range c.change.closed {
			if closed {
				closeSocket(int(c.pair[side].fd[RTCP]))
				c.pair[side].fd[RTCP] = -1
			}
		}
	}
}
