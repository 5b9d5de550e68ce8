package media

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/internal/processors"
	"flowbridge/media/stage"
)

const (
	maxPacket  = 1500                   // largest UDP payload that is relayed, in bytes
	bufferSize = 2048                   // a longer packet is truncated, but its length is known
	batch      = 128                    // events taken from epoll at a time
	tickEvery  = 250 * time.Millisecond // how often it checks for silence and one-way audio
	stall      = 2 * tickEvery          // more than this between two turns: the machine or the process stood still
)

// worker is the userspace path: a goroutine that waits for its sessions' sockets and relays what they receive.
// wait_linux.go explains how it waits.
type worker struct {
	// Constant.
	epoch     time.Time
	silence   silenceLimits
	tick      time.Duration
	holds     bool // the worker keeps its processor while it waits
	epfd      int
	wakefd    int
	wake      *os.File   // wakefd as a file; closing it is safe against a late write
	path      flowPath   // carries its sessions; the worker itself, unless Open sets another
	offloader *offloader // nil if the kernel carries nothing
	shared    *shared    // sockets of steered sessions; nil without an offloader
	commands  chan command
	pending   atomic.Bool   // commands are waiting
	asleep    atomic.Bool   // the worker waits for events, and must be woken for a command
	ticks     atomic.Uint64 // number of checks for silence
	rests     atomic.Bool   // the worker has no sessions, and waits for a command
	fell      atomic.Bool   // most sessions fell silent at the same moment
	doubt     atomic.Bool   // Engine.Doubt
	stood     atomic.Int64  // nanoseconds in which packets may have waited for a processor
	stopped   chan struct{} // closed when the goroutine has released everything

	// Owned by the goroutine.
	now      time.Duration // since epoch, read once per wake-up
	nextTick time.Duration
	silent   []*relay // sessions at their silence limit, in this tick
	outage   outage
	doubted  time.Duration // the last tick in which there was doubt; 0 if there has been none
	behind   *endpoint     // an endpoint whose flow could be offloaded if none of its packets waited; may be nil
	late     lateness
	alarm    time.Duration // no entry of armed is due before this
	armed    []*endpoint
	relays   map[uint64]*relay
	byFD     []*endpoint // indexed by descriptor
	stopping bool
	frozen   bool // it reads nothing and sends nothing on its own, but runs commands
	events   [batch]unix.EpollEvent
	taken    int // number of events taken from epoll
	from     sockaddr
	buf      [bufferSize]byte
	opened   [bufferSize]byte          // decrypted contents of buf
	sealed   [bufferSize]byte          // encrypted packet to send
	own      [stage.LongestPacket]byte // a packet of our own
	inbound  stage.Packet
}

type op uint8

const (
	opOpen op = iota
	opPeer
	opConfirm
	opCrypto
	opOrder
	opPayloads
	opStart
	opDatagrams
	opSockets
	opClose // this op and the following ones are not about an open session
	opForget
	opSync
	opFreeze
	opThaw
	opStop
)

// orders reports whether op changes how packets are handled. If so, the session's flows must be taken back from the
// kernel first.
func (o op) orders() bool { return o > opOpen && o < opSockets }

// command is a request to a worker; op says which fields are used.
type command struct {
	op        op
	side      Side
	relay     *relay
	peer      *Peer // normalised
	crypto    cryptoChange
	keys      *Crypto // the keys of crypto
	order     stage.Order
	payloads  *[maxPayloadChanges]PayloadChange
	sockets   *socketChange
	datagrams *Datagrams
	datagram  []byte
	pairs     []pair
	done      chan error // capacity 1; nil if the sender does not wait
}

func newWorker(epoch time.Time, silence silenceLimits) (*worker, error) {
	w, err := prepareWorker(epoch, silence)
	if err != nil {
		return nil, err
	}
	if w.holds {
		processors.Add(1)
	}
	ready := make(chan struct{})
	go w.run(ready)
	<-ready // so that all its descriptors are open
	return w, nil
}

func prepareWorker(epoch time.Time, silence silenceLimits) (*worker, error) {
	w := &worker{
		epoch: epoch, silence: silence, tick: min(tickEvery, min(silence.start, silence.mid)/4+time.Millisecond),
		holds:    interrupts(),
		commands: make(chan command, 128),
		stopped:  make(chan struct{}),
		relays:   make(map[uint64]*relay),
		alarm:    never,
		late:     lateness{fd: -1},
	}
	w.path = w
	var err error
	if w.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if w.wakefd, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		closeSocket(w.epfd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	w.wake = os.NewFile(uintptr(w.wakefd), "eventfd")
	if err := w.watch(w.wakefd, unix.EPOLLIN|unix.EPOLLET); err != nil { // edge-triggered, so it need not be read
		w.release()
		return nil, err
	}
	return w, nil
}

// do waits until the worker has run c.
func (w *worker) do(c command) error {
	c.done = make(chan error, 1)
	if err := w.post(c, true); err != nil {
		return err
	}
	select {
	case err := <-c.done:
		return err
	case <-w.stopped:
		return errClosed
	}
}

// post makes the worker run c after earlier commands and before it reads a later packet. The worker runs c at its next
// check for silence at the latest. If soon is set, it runs c at once, for things that must happen without a packet.
func (w *worker) post(c command, soon bool) error {
	select {
	case <-w.stopped:
		return errClosed
	default:
	}
	select {
	case w.commands <- c:
	default: // the channel is full
		w.rouse()
		select {
		case w.commands <- c:
		case <-w.stopped:
			return errClosed
		}
	}
	w.pending.Store(true)
	if c.op.orders() {
		c.relay.recall() // makes later packets come to the worker, which handles commands first
	}
	if soon {
		w.rouse()
	}
	return nil
}

// rouse ends the worker's wait for events, if it is waiting.
func (w *worker) rouse() {
	if w.asleep.CompareAndSwap(true, false) {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = w.wake.Write(one[:]) // fails only if the worker has stopped
	}
}

func (w *worker) stop() {
	_ = w.do(command{op: opStop})
	<-w.stopped
}

func (w *worker) run(ready chan<- struct{}) {
	defer close(w.stopped)
	if w.holds {
		raisePriority()
		w.late.open()
		defer w.late.close()
		defer processors.Add(-1)
	}
	close(ready)
	defer w.release()
	for !w.stopping {
		if w.frozen {
			w.carryOut(<-w.commands)
		} else {
			w.turn()
		}
	}
}

// turn waits for a batch of events and handles them.
//
// It reads each socket once. With many calls this is cheapest, because nearly always one packet waits and a second read
// would find nothing. A flood on one port delays the others by the time for one packet. Level-triggered epoll returns a
// socket again, behind the others, while packets wait there.
func (w *worker) turn() {
	began := w.now
	if w.late.since > 0 {
		began = time.Since(w.epoch)
	}
	w.wait()
	before := w.now
	w.now = time.Since(w.epoch)
	missed := w.now - before
	if missed > stall {
		w.miss(missed)
	}
	if missed > lateLeast || w.late.since > 0 {
		w.measure(began, missed)
	}
	if w.pending.Load() { // commands are older than the packets
		w.runCommands()
	}
	if w.frozen {
		return
	}
	for _, ev := range w.events[:w.taken] {
		if int(ev.Fd) == w.wakefd || int(ev.Fd) >= len(w.byFD) {
			continue
		}
		if ep := w.byFD[ev.Fd]; ep == atShared {
			w.serveShared(ev.Fd)
		} else if ep != nil { // the socket is open and was not forgotten
			w.serve(ep, ev.Fd)
		}
	}
	if w.now >= w.alarm {
		w.ring()
	}
	if w.now >= w.nextTick {
		w.lookForSilence()
	}
}

// miss tells latches how long the worker did not run.
func (w *worker) miss(missed time.Duration) {
	for _, r := range w.relays {
		if r.enter() {
			for side := range r.party {
				r.party[side].miss(missed)
			}
			if missed >= pauseLeast { // the sides may have sent
				r.hearing.since = w.now
			}
			r.leave()
		}
	}
}

func (w *worker) lookForSilence() {
	w.nextTick = w.now + w.tick
	w.ticks.Add(1)
	w.late.waits() // so that many short waits don't count as a long one
	for _, r := range w.relays {
		if r.enter() {
			if r.isSilent(w.now, w.silence) {
				w.silent = append(w.silent, r)
			}
			r.checkOneWay(w.now)
			r.lookForPauses(w.now)
			r.tick(w.now)
			r.endpoint[SideA][RTP].overflows()
			r.endpoint[SideB][RTP].overflows()
			r.leave()
		}
	}
	w.judgeSilence()
}

// runCommands runs the waiting commands. A new socket may get the number of a closed one; an event of the closed one
// then finds nothing to read.
func (w *worker) runCommands() {
	w.pending.Store(false)
	for {
		select {
		case c := <-w.commands:
			w.carryOut(c)
		default:
			return
		}
	}
}

func (w *worker) carryOut(c command) {
	if err := w.perform(c); c.done != nil {
		c.done <- err
	}
}

func (w *worker) perform(c command) error {
	if c.op < opClose { // the command is about an open session
		if !c.relay.enter() {
			return errClosed
		}
		defer c.relay.leave()
		if c.op.orders() {
			c.relay.reclaim()
		}
	}
	switch c.op {
	case opOpen:
		w.open(c.relay)
	case opClose:
		w.close(c.relay, c.pairs)
	case opForget:
		w.forget(c.pairs)
	case opFreeze:
		w.freeze()
	case opThaw:
		w.frozen = false
	case opStop:
		w.stopping = true
	case opSync: // nothing to do, because the sender only waits until this command is reached
	default:
		err := w.change(c)
		c.relay.stages.Changed(w.now)
		return err
	}
	return nil
}

// change carries out a command about an open session.
func (w *worker) change(c command) error {
	switch c.op {
	case opPeer:
		return c.relay.describe(c.side, c.peer, w.now)
	case opConfirm:
		return c.relay.confirm(c.side)
	case opCrypto:
		if c.crypto.out != nil {
			c.crypto.out.kept = c.relay.note.kept
		}
		c.relay.secure[c.side].set(c.crypto)
	case opPayloads:
		c.relay.payloads[c.side] = *c.payloads
		return c.relay.route()
	case opOrder:
		defer c.relay.Arm(c.side)
		return c.relay.stages.Order(c.side, c.order, w.now)
	case opStart:
		c.relay.start(w.now)
	case opDatagrams:
		w.orderDatagrams(c)
	case opSockets:
		w.changeSockets(c.relay, c.sockets)
	case opOpen, opClose, opForget, opFreeze, opThaw, opStop, opSync: // handled by perform
	}
	return nil
}

// open takes over a session. epoll already watches its sockets.
func (w *worker) open(r *relay) {
	r.worker, r.path = w, w.path
	w.relays[r.id] = r
	for _, ep := range r.endpoints() {
		w.serves(ep.fd, ep)
		if ep.rtpState != nil { // the session was handed over
			w.arm(ep)
		}
	}
	_ = r.route()
}

// serves sets the endpoint of a socket's packets.
func (w *worker) serves(fd int32, ep *endpoint) {
	if fd < 0 {
		return
	}
	for len(w.byFD) <= int(fd) {
		w.byFD = append(w.byFD, nil)
	}
	w.byFD[fd] = ep
}

// watch adds a socket to the worker's epoll. Any goroutine may call it.
func (w *worker) watch(fd int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd)} // descriptors are small
	if err := unix.EpollCtl(w.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// unwatch undoes watch for a socket that stays open.
func (w *worker) unwatch(fd int) { _ = unix.EpollCtl(w.epfd, unix.EPOLL_CTL_DEL, fd, nil) }

// freeze stops reading. Packets waiting in shared sockets are relayed first; no more packets arrive there.
func (w *worker) freeze() {
	w.frozen = true
	if w.shared == nil {
		return
	}
	for _, fd := range w.shared.fd {
		for i := 0; fd >= 0 && i < sharedMost && waits(fd); i++ {
			w.serveShared(fd)
		}
	}
}

// atRest is the endpoint of sockets between two sessions.
var atRest = new(endpoint)

// close lets a session go. Packets that still arrive at its sockets are read and dropped.
func (w *worker) close(r *relay, pairs []pair) {
	for _, ep := range r.endpoints() {
		if ep.attached { // else it was closed before it was opened
			r.path.Detach(flowID{Session: r.id, From: ep.side, Kind: ep.kind})
		}
	}
	delete(w.relays, r.id)
	w.unshare(r)
	for _, p := range pairs {
		for _, fd := range p.fd {
			w.serves(fd, atRest)
		}
	}
}

// forget lets sockets go, so that they can be closed.
func (w *worker) forget(pairs []pair) {
	for _, p := range pairs {
		for _, fd := range p.fd {
			w.serves(fd, nil)
		}
	}
}

func (w *worker) release() {
	_ = w.wake.Close()
	w.shared.close()
	closeSocket(w.epfd)
}
