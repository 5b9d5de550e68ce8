package media

import (
	"net/netip"
	"time"

	"flowbridge/media/kernel"
	"flowbridge/media/stream"
)

// inherit continues the flows of a resumed session that the kernel still relays, and leaves them in the kernel. The
// killed process's flows in the kernel are newer than its saved state. Other goroutines can't see the session yet. Its
// sockets are open: packets that the kernel gives back arrive there.
func (s *Session) inherit() {
	r, o := &s.relay, s.worker.offloader
	if o == nil || !r.enter() { // figures can be read as soon as a flow is adopted
		return
	}
	defer r.leave()
	var found [2]kernel.Flow
	for side := range found {
		f, ok := s.inherited(Side(side))
		found[side] = f
		if ok {
			r.believe(Side(side), f, s.engine.now())
		}
	}
	for side, f := range found {
		if f.In.IsValid() && !r.endpoint[side][RTP].adopt(o, f.In, s.engine.now()) {
			if state, ok := o.relay.Dismiss(f.In); ok {
				r.endpoint[side][RTP].inherit(o, &state)
			}
		}
	}
}

// inherited finds a side's flow in the kernel. If the side listens on all addresses, inherited tries each of our
// addresses.
func (s *Session) inherited(side Side) (kernel.Flow, bool) {
	local := s.relay.local[side]
	if !local.Addr().IsUnspecified() {
		return s.worker.offloader.relay.Inherited(local)
	}
	for _, a := range append([]netip.Addr{loopback(local.Addr())}, s.engine.locals...) {
		if f, ok := s.worker.offloader.relay.Inherited(netip.AddrPortFrom(a, local.Port())); ok &&
			a.Is4() == local.Addr().Is4() {
			return f, true
		}
	}
	return kernel.Flow{}, false
}

func loopback(family netip.Addr) netip.Addr {
	if family.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// believe locks a side's source to the source of its flow in the kernel, and takes over the flow's rewrite.
func (r *relay) believe(side Side, f kernel.Flow, now time.Duration) {
	ep, l := r.heard(side), &r.party[side].rtp
	if l.Source() != f.Source || l.SSRC() != f.SSRC {
		l.Adopt(f.Source, f.SSRC, now)
		r.ledger.located(side, f.Source)
	}
	ep.stream.Adopt(f.SSRC) // the kernel has relayed this stream
	ep.outlet.Adopt(f.SSRC, stream.Shift{
		SSRC: f.Rewrite.SSRC, TimeOffset: f.Rewrite.TimeOffset, SeqOffset: f.Rewrite.SeqOffset,
	})
}

// adopt leaves the flow from ep in the kernel if the kernel relays it as the worker would. The kernel's counts become
// ep's.
func (ep *endpoint) adopt(o *offloader, in netip.AddrPort, now time.Duration) bool {
	r := ep.relay
	is := r.resolve(ep.side, RTP)
	ep.flow, ep.out = is.course, r.outlet(ep.side.Other(), RTP)
	ep.dest = (sockaddr{})
	if !is.Held {
		ep.dest.set(is.Dest)
	}
	if !ep.isPlain(now) {
		return false
	}
	ep.offload.times++
	f, err := o.flow(ep)
	if err != nil || f.In != in {
		return false
	}
	state, err := o.relay.Adopt(f)
	if err != nil {
		return false
	}
	ep.offload.since, ep.offload.in, ep.offload.had = now, in, state.Packets
	ep.inherit(o, &state)
	ep.offload.by = o
	if h := r.stages.Hearer(ep.side); h != nil && !f.Listen {
		h.Miss()
	}
	r.offloaded.Add(1)
	return true
}

// inherit takes over the figures of ep's flow from the kernel's state.
func (ep *endpoint) inherit(o *offloader, state *kernel.State) {
	ep.offload.by = o
	ep.offload.seen = o.state(ep)
	ep.takeOver(state)
	ep.offload.by = nil
}

// Restored ends the kernel's flows of sessions that were not resumed. It must be called after the last Resume.
func (e *Engine) Restored() {
	if e.config.Kernel != nil {
		e.config.Kernel.DismissAll()
	}
}
