package media

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A session whose RTP the kernel relays has no sockets. Its ports are steered: packets that the kernel sends up, mostly
// RTCP, arrive at a socket that the worker's sessions share, together with their destination address. Packets that the
// session sends leave from a socket opened for each one. Its sockets are reopened with the first command to the
// session, or soon after a flow has come back for another reason.

// steerAfter is how long the kernel must have had both flows of a session before its sockets are closed, if there are
// enough descriptors. It equals reportsWithin, so that a call that ends before then neither opens nor closes a socket.
const steerAfter = reportsWithin

// steerAtOnceShare is a share, in quarters, of the process's descriptors. Above it, sessions are steered as soon as the
// kernel has both flows, so that a burst of new calls need not wait for the sockets of established calls.
const steerAtOnceShare = 2

// wakingMost is how many sessions per second get their sockets back without a command. When a link goes down, the flows
// of all sessions come back at once; the remaining sessions continue without sockets.
const wakingMost = 256

// socketsShare is a share, in quarters, of the process's descriptors. If media's sockets take more, sessions stay
// without them: new calls need the rest.
const socketsShare = 3

// steeredMost is how many packets per second may arrive at a steered port, by Kind, so that a flood to one port does
// not delay the others. RTP arrives while the worker has the flow; reports arrive every few seconds.
var steeredMost = [2]uint32{RTP: 1000, RTCP: 50}

// Values of endpoint.fd for an endpoint without a socket of its own.
const (
	noSocket     = -1
	sharedSocket = -2 // the endpoint's port is steered
)

// errSteered reports that packets to another of our addresses would not be steered.
var errSteered = errors.New("its port is steered from another address")

// steering holds where each side's RTP arrives in a steered session. RTCP arrives at the port above.
type steering [2]netip.AddrPort

// steering returns the addresses of a session whose flows are, or were, in the kernel.
func (r *relay) steering() steering {
	return steering{r.endpoint[SideA][RTP].offload.in, r.endpoint[SideB][RTP].offload.in}
}

// each calls do with the four addresses.
func (s steering) each(do func(side Side, kind Kind, at netip.AddrPort)) {
	for side, rtp := range s {
		do(Side(side), RTP, rtp)
		do(Side(side), RTCP, portAbove(rtp))
	}
}

// shared are the sockets that a worker's steered sessions share, by IP version: IPv4, IPv6.
type shared struct {
	first int // the kernel's number for the first socket
	fd    sockets
	to    map[netip.AddrPort]*endpoint // owned by the worker
	in    steeredPacket
}

// atShared is the endpoint of shared sockets.
var atShared = new(endpoint)

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// shareSockets opens the shared sockets of a worker that has no sessions yet. If the socket of an IP version can't be
// opened, sessions of that IP version keep their own.
func (w *worker) shareSockets(number int) {
	w.shared = &shared{first: 2 * number, fd: sockets{noSocket, noSocket}, to: map[netip.AddrPort]*endpoint{}}
	// Any local address will do, because packets are steered.
	for i, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		fd, err := openSharedSocket(a)
		if err != nil {
			continue
		}
		if w.watch(fd, unix.EPOLLIN) != nil || w.offloader.relay.Socket(w.shared.first+i, fd) != nil {
			closeSocket(fd)
			continue
		}
		w.shared.fd[i] = int32(fd) // descriptors are small
		w.serves(int32(fd), atShared)
	}
}

func (s *shared) close() {
	if s != nil {
		s.fd.close()
	}
}

// serveShared relays a packet that arrived at a shared socket.
func (w *worker) serveShared(fd int32) {
	n, errno := w.shared.in.receive(fd, w.buf[:], &w.from)
	if errno != 0 {
		return
	}
	ep := w.shared.to[w.shared.in.sentTo()]
	if ep != nil && ep.relay.enter() {
		w.relay(ep, n)
		ep.relay.leave()
	}
}

// transmit sends a packet from an endpoint's socket, or from a temporary one with its address.
func (w *worker) transmit(from *endpoint, pkt []byte, to *sockaddr) unix.Errno {
	if from.fd != sharedSocket {
		return send(from.fd, pkt, to)
	}
	fd, err := openSocket(from.relay.address(from.side, from.kind), w.offloader.dscp)
	if err != nil {
		return unix.EADDRINUSE
	}
	defer closeSocket(fd)
	return send(int32(fd), pkt, to)
}

// share registers the endpoints of a session under the addresses that will be steered. It must be called before any
// packet arrives at a shared socket.
func (w *worker) share(r *relay) (s steering, done bool) {
	s = r.steering()
	if r.offloaded.Load() < 2 || !s[SideA].IsValid() || !s[SideB].IsValid() {
		return s, false
	}
	w.unshare(r)
	r.endpoint[SideA][RTP].offload.shares = &s
	s.each(func(side Side, kind Kind, at netip.AddrPort) { w.shared.to[at] = &r.endpoint[side][kind] })
	return s, true
}

// steer makes the worker let go of a session's own sockets, unless a packet that waits there brings a flow back. The
// ports have been steered long enough that no more packets arrive there.
func (w *worker) steer(r *relay, s steering) (done bool) {
	for _, ep := range r.endpoints() {
		for i := 0; ep.fd >= 0 && i < drainMost; i++ {
			n, errno := receive(ep.fd, w.buf[:], &w.from)
			if errno != 0 {
				break
			}
			w.relay(ep, n)
		}
	}
	if r.offloaded.Load() < 2 || r.steering() != s {
		return false
	}
	for _, ep := range r.endpoints() {
		w.serves(ep.fd, nil)
		ep.fd = sharedSocket
	}
	return true
}

// unsteer reopens the sockets of a steered session. If another program has taken a port, it opens none. Packets still
// waiting in the shared sockets are relayed.
func (w *worker) unsteer(e *Engine, r *relay, c *socketChange) {
	var failed error
	r.steering().each(func(side Side, kind Kind, _ netip.AddrPort) {
		if failed == nil {
			local := r.local[side]
			c.opened[side][kind], failed = e.open(place{local.Addr(), w}, local.Port(), kind)
		}
	})
	if failed != nil {
		for side := range c.opened {
			pair{fd: c.opened[side]}.close()
			c.opened[side] = sockets{noSocket, noSocket}
		}
	}
}

// unshare forgets the shared addresses of a session that is closed or is steered from other addresses.
func (w *worker) unshare(r *relay) {
	if shares := r.shares(); shares != nil {
		shares.each(func(_ Side, _ Kind, at netip.AddrPort) { delete(w.shared.to, at) })
	}
}

// wake reopens the sockets of a steered session, unless descriptors are scarce.
func (s *Session) wake() {
	if s.steered.Load() && s.engine.mayWake() {
		s.unsteer()
	}
}

// unsteer is like wake, but ignores the number of descriptors.
func (s *Session) unsteer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.steered.Load() {
		return
	}
	c := newSocketChange()
	c.reopen = s.engine
	if s.worker.do(command{op: opSockets, relay: &s.relay, sockets: c}) != nil || c.opened[SideA][RTP] < 0 {
		return
	}
	for side := range s.pair {
		s.pair[side].fd = c.opened[side]
	}
	s.endSteering(s.relay.steering())
	s.steered.Store(false)
	s.engine.awake.Add(1)
	s.awaitRTCP()
}

// unsteered ends the steering of a session that is being closed, and returns its ports. The caller must hold the
// session's mu and have taken the last turn.
func (s *Session) unsteered() {
	_ = s.worker.post(command{op: opClose, relay: &s.relay}, false)
	s.endSteering(s.relay.steering())
	for _, p := range s.pair {
		s.engine.ports.release(p.port)
	}
}

// steerCalm steers the sessions that need no sockets of their own, and reopens the sockets of the others.
func (e *Engine) steerCalm(now time.Duration) {
	if e.config.Kernel == nil {
		return
	}
	var calm, astir []*Session
	settled := steerAfter
	if e.hasSockets(steerAtOnceShare) {
		settled = 0
	}
	e.mu.Lock()
	for _, s := range e.sessions {
		switch plain := s.relay.offloaded.Load() == 2; {
		case plain && !s.steered.Load():
			calm = append(calm, s)
		case !plain && s.steered.Load():
			astir = append(astir, s)
		}
	}
	e.mu.Unlock()
	for _, s := range astir[:min(len(astir), wakingMost)] { // the random order of a map gives every session a chance
		s.wake()
	}
	var parting []*Session
	for some := range slices.Chunk(calm, closingMost) {
		parting = append(parting, e.beginSteering(some, now-settled)...)
	}
	if parting != nil {
		awaitReceivers()
	}
	for some := range slices.Chunk(parting, closingMost) {
		e.steer(some)
	}
}

// awaitReceivers returns when every packet that was already assigned to a socket has arrived there. The kernel receives
// a packet inside an RCU read-side section, and this system call waits for all such sections.
func awaitReceivers() {
	const global = 1                                          // MEMBARRIER_CMD_GLOBAL
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0) // if it is not allowed, a packet may be lost
}

// beginSteering steers the ports of sessions to the workers' shared sockets if the kernel has had their flows since the
// given time. It returns the sessions for which that worked. Their own sockets are still open.
func (e *Engine) beginSteering(some []*Session, since time.Duration) (parting []*Session) {
	changes := make([]*socketChange, len(some))
	for i, s := range some {
		if s.calm(since) {
			changes[i] = newSocketChange()
			changes[i].share = true
			_ = s.worker.post(command{op: opSockets, relay: &s.relay, sockets: changes[i]}, false)
		}
	}
	e.order(opSync)
	for i, s := range some {
		if c := changes[i]; c != nil && c.steer != nil && s.beginSteering(*c.steer) {
			parting = append(parting, s)
		}
	}
	return parting
}

func (s *Session) beginSteering(st steering) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	var failed error
	st.each(func(_ Side, kind Kind, at netip.AddrPort) {
		if failed == nil {
			failed = s.worker.offloader.relay.Steer(at, s.worker.shared.first+family(at.Addr()), steeredMost[kind])
		}
	})
	if failed != nil {
		s.endSteering(st)
		return false
	}
	s.parting = true
	return true
}

// steer makes workers let go of the sockets of sessions, and closes them. Until it returns, the pairs can't be leased
// to other sessions.
func (e *Engine) steer(some []*Session) {
	changes := make([]*socketChange, len(some))
	for i, s := range some {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			continue
		}
		changes[i] = newSocketChange()
		changes[i].steer = s.relay.shares() // set before the last sync
		_ = s.worker.post(command{op: opSockets, relay: &s.relay, sockets: changes[i]}, false)
	}
	e.order(opSync)
	for i, s := range some {
		if changes[i] != nil {
			s.settleSteering(changes[i])
		}
	}
}

// calm reports whether a session can be steered and its flows have been in the kernel since the given time.
func (s *Session) calm(since time.Duration) bool {
	r := &s.relay
	if s.steered.Load() || r.offloaded.Load() < 2 || !r.enter() {
		return false
	}
	defer r.leave()
	if r.offloaded.Load() < 2 {
		return false
	}
	for side := range r.endpoint {
		o := &r.endpoint[side][RTP].offload
		if o.since > since || s.worker.shared.fd[family(o.in.Addr())] < 0 {
			return false
		}
	}
	return true
}

// settleSteering closes the sockets of a session if the worker has let them go. If not, the ports belong to the sockets
// again. The caller holds the session's mu.
func (s *Session) settleSteering(c *socketChange) {
	s.parting = false
	if !c.done {
		s.endSteering(*c.steer)
		return
	}
	for side, p := range s.pair {
		p.close()
		s.pair[side].fd = sockets{noSocket, noSocket}
	}
	s.steered.Store(true)
	s.engine.awake.Add(-1)
}

// mayWake reports whether another session may have sockets that it does not need.
func (e *Engine) mayWake() bool { return !e.hasSockets(socketsShare) }

// hasSockets reports whether media's sockets use this share, in quarters, of the process's descriptors.
func (e *Engine) hasSockets(quarters int) bool {
	return 4*int(e.awake.Load())+2*e.ports.atRest() >= e.files/4*quarters
}

func (s *Session) endSteering(st steering) {
	st.each(func(_ Side, _ Kind, at netip.AddrPort) { s.worker.offloader.relay.Unsteer(at) })
}

// shares returns the addresses by which the worker knows a session, or nil if there are none.
func (r *relay) shares() *steering {
	if s := r.endpoint[SideA][RTP].rtpState; s != nil {
		return s.offload.shares
	}
	return nil
}
