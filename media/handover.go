package media

// An engine hands its sessions over to the engine of the process that replaces it in these steps:
//
//	old engine                           new engine
//	Freeze: stops reading packets
//	HandOver of each session      --->   Freeze, Resume of each with its sockets
//	                              <---   ready
//	Leave                                Thaw: packets waiting in the sockets are relayed
//
// If the new engine does not get ready, the old engine thaws and continues as if nothing had happened. The kernel
// relays its flows all the time, except flows that end with the process: their packets wait in the sockets as well.

// Sockets are the descriptors of a session, by Side and Kind; -1 means none.
type Sockets [2][2]int

func (s *Sockets) of(side Side) *[2]int {
	if s == nil {
		return nil
	}
	return &s[side]
}

// Freeze stops relaying: packets wait in the sockets. Sounds and digits pause. Sessions can still be created, changed
// and closed.
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
	if k := e.config.Kernel; k != nil && k.Directory() == nil { // the new engine can't read what the kernel counted
		for _, s := range e.all() {
			s.relay.recall()
		}
	}
}

// Thaw ends Freeze.
func (e *Engine) Thaw() {
	if !e.frozen.CompareAndSwap(true, false) {
		return
	}
	e.order(opThaw)
	e.tidy.Unlock()
}

// HandOver returns the session's current state, and the sockets that its packets wait in. The session still owns the
// sockets. The engine must be frozen.
func (s *Session) HandOver() (SessionState, Sockets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fds := Sockets{{noSocket, noSocket}, {noSocket, noSocket}}
	for side, p := range s.pair {
		for kind, fd := range p.fd {
			if fd >= 0 && !s.closed {
				fds[side][kind] = int(fd)
			}
		}
	}
	return s.state(true), fds
}

// Leave closes an engine whose sessions were handed over. The kernel keeps relaying the flows that it still has.
func (e *Engine) Leave() {
	e.Freeze() // the waiting packets are for the other process
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

// leave ends the session in this process, but not in the kernel.
func (s *Session) leave() {
	s.once.Do(func() {
		s.engine.forget(s)
		s.relay.end()
		s.vacate(true)
	})
}
