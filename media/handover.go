package media

// An engine hands its sessions over to that of another process, which is to take its place, in these steps:
//
//	the old one                          the new one
//	Freeze: nothing is read any more
//	HandOver of each session      --->   Freeze, Resume of each with its sockets
//	                              <---   ready
//	Leave                                Thaw: what has waited in the sockets is relayed
//
// If the new one does not get ready, the old one thaws, and goes on as if nothing had happened. What the kernel relays
// it relays all the time.

// Sockets are the descriptors of a session, by Side and Kind; -1: none.
type Sockets [2][2]int

func (s *Sockets) of(side Side) *[2]int {
	if s == nil {
		return nil
	}
	return &s[side]
}

// Freeze stops the relaying of packets: they wait in the sockets. Sounds and digits pause. Sessions can be made,
// changed and closed meanwhile.
func (e *Engine) Freeze() {
	if !e.frozen.CompareAndSwap(false, true) {
		return
	}
	e.tidy.Lock()
	if e.config.Kernel != nil {
		for _, s := range e.all() {
			if s.steered.Load() {
				s.unsteer()
			}
		}
		awaitReceivers()
	}
	e.order(opFreeze)
}

// Thaw ends Freeze.
func (e *Engine) Thaw() {
	if !e.frozen.CompareAndSwap(true, false) {
		return
	}
	e.order(opThaw)
	e.tidy.Unlock()
}

// HandOver returns the session's state of now, and the sockets that its packets wait in, which stay the session's. The
// engine is frozen.
func (s *Session) HandOver() (SessionState, Sockets) {
	st := SessionState{At: s.engine.began + s.engine.now(), Exact: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := &s.relay; r.enter() {
		r.state(&st, s.engine.began)
		r.leave()
	}
	s.wanted.state(&st)
	fds := Sockets{{noSocket, noSocket}, {noSocket, noSocket}}
	for side, p := range s.pair {
		for kind, fd := range p.fd {
			if fd >= 0 && !s.closed {
				fds[side][kind] = int(fd)
			}
		}
	}
	return st, fds
}

// Leave is Close for an engine whose sessions were handed over: what the kernel relays of them goes on.
func (e *Engine) Leave() {
	e.Freeze() // it must not read what is for the other process
	e.mu.Lock()
	again := e.closing
	e.closing = true
	e.mu.Unlock()
	if again {
		<-e.closed
		return
	}
	e.opening.Wait()
	for _, s := range e.all() {
		s.leave()
	}
	e.frozen.Store(false)
	e.tidy.Unlock()
	e.end()
}

// leave ends the session here, and not in the kernel.
func (s *Session) leave() {
	s.once.Do(func() {
		s.engine.forget(s)
		s.relay.end()
		s.vacate(true)
	})
}
