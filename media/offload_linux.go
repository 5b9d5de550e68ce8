package media

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/media/kernel"
)

// An RTP flow whose packets this process need not handle is offloaded: the kernel relays its packets, and the worker
// does not see them. The stream's state moves with the flow in both directions, so there is one count, wherever a
// packet was relayed. A flow comes back for three reasons: a command about its session, a change of the flow, or an
// accepted packet that the kernel has sent up. It is offloaded again with a later packet. So no other code needs to
// know where a flow is.
//
// RTCP is not offloaded, because call records use it.

const (
	// offloadAfter is how long a flow stays with the worker after it started or came back, because one change is often
	// followed by others.
	offloadAfter = time.Second

	// offloadWorth is the least number of packets that the kernel must have relayed before a packet brings a flow back. If
	// it relayed fewer, it sends up all of the flow's packets, because they have IP options or come through an interface
	// without its program. Such a flow stays with the worker twice as long as the last time, up to offloadAfter <<
	// offloadPatience.
	offloadWorth    = 100
	offloadPatience = 8

	// figuresAge bounds how stale kernel counters may be, except where a decision uses them. The counters of all flows are
	// read together at this interval.
	figuresAge = tendEvery
)

// offloader gives flows to the kernel. It never changes.
type offloader struct {
	relay *kernel.Relay
	epoch time.Duration        // the engine's epoch by the kernel's clock
	now   func() time.Duration // Engine.now: the kernel's clock, read without a system call
	after time.Duration        // offloadAfter
	age   time.Duration        // figuresAge
	dscp  uint8
	look  func(kernel.Flow) bool // looks up the route of a flow; returns false if the route is not known yet

	looking sync.WaitGroup
	looks   chan struct{} // limits the goroutines that look up routes
}

// behindMost is how many waiting packets of a flow are read in a row, at most, so that the flow can be offloaded. It is
// more than a second of packets.
const behindMost = 64

// looksMost is how many routes are looked up at once. If the kernel does not answer, no further goroutines are started.
const looksMost = 16

func newOffloader(relay *kernel.Relay, epoch time.Duration, now func() time.Duration, dscp uint8) *offloader {
	o := &offloader{
		relay: relay, epoch: epoch, now: now, after: offloadAfter, age: figuresAge, dscp: dscp,
		looks: make(chan struct{}, looksMost),
	}
	o.look = o.lookSoon
	return o
}

// lookSoon starts to look up a flow's route in the background..
func (o *offloader) lookSoon(f kernel.Flow) (known bool) {
	select {
	case o.looks <- struct{}{}:
		o.looking.Go(func() {
			defer func() { <-o.looks }()
			o.relay.Look(f)
		})
	default: // the next packet tries again
	}
	return false
}

// stop waits until all route lookups are done.
func (o *offloader) stop() {
	if o != nil {
		o.looking.Wait()
	}
}

// offload is the state of an endpoint's RTP flow in the kernel, as far as the endpoint knows it.
type offload struct {
	from   time.Duration // earliest time at which the flow may be offloaded
	since  time.Duration // when it was offloaded
	fails  uint8         // consecutive offloads that relayed too few packets
	by     *offloader    // nil if the worker has the flow
	in     netip.AddrPort
	seen   kernel.State  // the state last read from the kernel
	had    uint64        // ep's packet count when the flow was offloaded
	read   time.Duration // when seen was read
	times  uint64        // how often the flow was offloaded
	shares *steering     // used on side A only: the steering of the session's ports; nil if they are not steered
}

// offload gives the kernel the flow of a packet that was just relayed, if the flow qualifies. A flow does not qualify
// while a packet or a command waits: the waiting packet would be overtaken, and the command would come too late.
func (w *worker) offload(ep *endpoint) {
	o := w.offloader
	if o == nil || w.now < max(ep.offload.from, ep.latch().LockedAt()+o.after) || !ep.isPlain(w.now) {
		return
	}
	w.behind = nil
	if waits(ep.fd) { // a worker that lags always has packets waiting, and would never offload the flow
		if !w.pending.Load() { // else the packet may have come after a command that still waits
			w.behind = ep
		}
		return
	}
	r := ep.relay
	ep.offload.times++
	r.offloaded.Add(1)
	if w.pending.Load() { // the command's sender may have missed that the flow is offloaded
		r.offloaded.Add(-1)
		return
	}
	err := o.put(ep, w.now)
	for errors.Is(err, kernel.ErrUnknown) && o.look(o.aim(ep)) {
		err = o.put(ep, w.now)
	}
	if err == nil {
		return
	}
	r.offloaded.Add(-1)
	if !errors.Is(err, kernel.ErrUnknown) { // if it is unknown, a later packet finds the route
		ep.offload.from = w.now + o.after<<offloadPatience
	}
}

// put gives the kernel the flow from ep.
func (o *offloader) put(ep *endpoint, now time.Duration) error {
	f, err := o.flow(ep)
	if err != nil {
		return err
	}
	if ep.fd == sharedSocket && f.In != ep.offload.in {
		return errSteered
	}
	state := o.state(ep)
	if err := o.relay.Put(f, state); err != nil {
		return err
	}
	ep.offload.by, ep.offload.in, ep.offload.since, ep.offload.had = o, f.In, now, state.Packets
	ep.offload.seen, ep.offload.read = state, now
	ep.offload.seen.Speech = nil
	if h := ep.relay.stages.Hearer(ep.side); h != nil && !f.Listen {
		h.Miss()
	}
	return nil
}

// aim returns the part of the flow from ep that determines its route.
func (o *offloader) aim(ep *endpoint) kernel.Flow {
	f, _ := o.flow(ep) // if there is an error, the flow has the fields that are known so far
	return f
}

// isPlain reports whether the kernel can relay the packets from ep as the worker would.
func (ep *endpoint) isPlain(now time.Duration) bool {
	r, other := ep.relay, ep.side.Other()
	switch {
	case ep.offload.by != nil, ep.dest.size == 0, ep.flow.Unconfirmed, !ep.latch().Steady(now),
		r.secure[ep.side].in != nil, r.secure[other].out != nil, !ep.stream.Steady(), !ep.outlet.Steady(now),
		!r.stages.Plain(ep.side, now):
		return false
	}
	for _, c := range ep.flow.Rewrite.Payload {
		if c.Op == PayloadToALaw || c.Op == PayloadToULaw {
			return false
		}
	}
	return true
}

// flow describes the flow from ep in the kernel's form.
func (o *offloader) flow(ep *endpoint) (kernel.Flow, error) {
	r, from := ep.relay, ep.flow
	f := kernel.Flow{
		Source: from.Source, Dest: from.Dest, SSRC: from.SSRC, ClockRate: uint32(ep.stream.Clock()), DSCP: o.dscp,
		Rewrite: kernel.Rewrite{
			SSRC: from.Rewrite.SSRC, TimeOffset: from.Rewrite.TimeOffset,
			SeqOffset: from.Rewrite.SeqOffset,
		},
		Lost:    func(error) { r.recall() },
		Figures: ep.figures(ep.offload.times),
	}
	f.Listen = r.stages.Hearer(ep.side) != nil && o.relay.Listens()
	if f.Listen {
		f.Events = kernel.PayloadTypes(r.party[ep.side].named.Events)
	}
	for i, c := range from.Rewrite.Payload {
		f.Rewrite.Payload[i] = kernel.PayloadChange{From: c.From, To: c.To, Drop: c.Op == PayloadDrop}
	}
	f.Up = kernel.PayloadTypes(r.stages.Up(ep.side))
	var err error
	if f.In, err = o.toward(r.address(ep.side, RTP), f.Source.Addr()); err == nil {
		f.Out, err = o.toward(r.address(ep.out.side, RTP), f.Dest.Addr())
	}
	return f, err
}

// toward returns one of our addresses as the peer sees it. If we listen on all addresses, this is the address from
// which the peer's packets are answered.
func (o *offloader) toward(ours netip.AddrPort, peer netip.Addr) (netip.AddrPort, error) {
	if !ours.Addr().IsUnspecified() {
		return ours, nil
	}
	a, err := o.relay.Local(peer)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(a, ours.Port()), nil
}

// refresh reads the kernel's counters of the session's flows if the known ones are older than age. The caller has the
// turn.
func (r *relay) refresh(age func(*offloader) time.Duration) {
	if r.offloaded.Load() == 0 {
		return
	}
	for side := range r.endpoint {
		if ep := &r.endpoint[side][RTP]; ep.rtpState != nil && ep.offload.by != nil {
			ep.refresh(age(ep.offload.by))
		}
	}
}

// anyAge and atOnce are values for the parameter age of refresh.
func anyAge(o *offloader) time.Duration { return o.age }
func atOnce(*offloader) time.Duration   { return 0 }

func (ep *endpoint) refresh(age time.Duration) {
	if ep.rtpState == nil || ep.offload.by == nil {
		return
	}
	o := ep.offload.by
	now := o.now()
	if age > 0 && now-ep.offload.read < age {
		return
	}
	if state, ok := o.relay.State(ep.offload.in); ok {
		ep.takeOver(&state)
	}
}

// figures returns a function that adds the kernel's counters to those of the flow from ep. The counters are read
// together with those of all other flows, so they may be older than the counts in ep, or belong to the previous
// offload; the function then ignores them.
func (ep *endpoint) figures(times uint64) func(*kernel.State) {
	return func(s *kernel.State) {
		if !ep.relay.enter() {
			return
		}
		defer ep.relay.leave()
		was := &ep.offload.seen
		if o := ep.offload.by; o != nil && ep.offload.times == times && s.At >= ep.offload.read+o.epoch {
			if s.Packets >= was.Packets && s.WrongSource >= was.WrongSource && s.WrongSSRC >= was.WrongSSRC {
				ep.takeOver(s)
			}
		}
	}
}

// readFigures reads the kernel's counters of all sessions.
func (e *Engine) readFigures() {
	if e.config.Kernel != nil {
		_ = e.config.Kernel.Read() // a failed read is repeated next time
	}
}

// recall takes the session's flows back. Any goroutine without the turn may call it.
func (r *relay) recall() {
	if r.offloaded.Load() > 0 && r.enter() {
		r.reclaim()
		r.leave()
	}
}

// reclaim takes the session's flows back. The caller has the turn.
func (r *relay) reclaim() {
	if r.offloaded.Load() == 0 {
		return
	}
	for side := range r.endpoint {
		r.endpoint[side][RTP].reclaim()
	}
}

// reclaim takes the flow from ep back, with its counts. The caller has the turn.
func (ep *endpoint) reclaim() {
	if ep.rtpState == nil || ep.offload.by == nil {
		return
	}
	o := ep.offload.by
	if state, ok := o.relay.Remove(ep.offload.in); ok {
		ep.takeOver(&state)
	}
	ep.offload.by = nil
	ep.offload.from = o.now() + o.after
	ep.relay.offloaded.Add(-1)
}

// cameUp takes the flow from ep back if the kernel has sent up one of its packets, and the packet was accepted.
func (ep *endpoint) cameUp(now time.Duration) {
	o := ep.offload.by
	if o == nil {
		return
	}
	ep.reclaim()
	if ep.offload.seen.Packets-ep.offload.had >= offloadWorth {
		ep.offload.fails = 0
		return
	}
	ep.offload.fails = min(ep.offload.fails+1, offloadPatience)
	ep.offload.from = now + o.after<<ep.offload.fails
}

// waits reports whether a packet waits in a socket.
func waits(fd int32) bool {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	return err == nil && n > 0
}
