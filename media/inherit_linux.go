package media

import (
	"net/netip"
	"time"

	"flowbridge/media/kernel"
	"flowbridge/media/stream"
)

// inherit goes on with what the kernel relays of a session that is being resumed, where it is. What the killed process
// had the kernel do is later than its state. Nobody else knows the session yet, and its sockets are there: what the
// kernel gives back comes to them.
func (s *Session) inherit() {
	r, o := &s.relay, s.worker.offloader
	if o == nil || !r.enter() { // it has figures read as soon as it is adopted
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

// inherited finds a side's flow in the kernel: to any address of ours, if it listens on all.
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

// believe locks on what a flow of a side comes from, and relays it as the flow says.
func (r *relay) believe(side Side, f kernel.Flow, now time.Duration) {
	ep, l := r.heard(side), &r.party[side].rtp
	if l.Source() != f.Source || l.SSRC() != f.SSRC {
		l.Adopt(f.Source, f.SSRC, now)
		r.ledger.located(side, f.Source)
	}
	ep.stream.Adopt(f.SSRC) // the kernel was there
	ep.outlet.Adopt(f.SSRC, stream.Shift{
		SSRC: f.Rewrite.SSRC, TimeOffset: f.Rewrite.TimeOffset, SeqOffset: f.Rewrite.SeqOffset,
	})
}

// adopt leaves the flow from ep in the kernel, if that relays it as the worker would. What the kernel has counted is
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
	if !f.Listen {
		r.stages.Miss()
	}
	r.offloaded.Add(1)
	return true
}

// inherit takes over the figures of a flow from ep.
func (ep *endpoint) inherit(o *offloader, state *kernel.State) {
	ep.offload.by = o
	ep.offload.seen = o.state(ep)
	ep.takeOver(state)
	ep.offload.by = nil
}

// Restored ends what the kernel relays for sessions that were not resumed. It comes after the last Resume.
func (e *Engine) Restored() {
	if e.config.Kernel != nil {
		e.config.Kernel.DismissAll()
	}
}
