package media

import (
	"net/netip"
	"time"
)

// relay is the worker's side of a session.
type relay struct {
	// Constant.
	id      uint64
	local   [2]netip.AddrPort // RTP
	onEvent func(Event)
	own     func(netip.AddrPort) bool // one of our own ports
	ledger  *ledger

	// Owned by the worker.
	path     Path
	flow     [2][2]Flow     // as attached to path, by side they come from and kind
	endpoint [2][2]endpoint // by side and kind
	party    [2]party
	rewrite  [2]Rewrite
	closed   bool

	hearing   hearing
	roundTrip [2]roundTrip // to each side
}

// endpoint is a socket of a session: what arrives there and where it goes on.
type endpoint struct {
	// Constant.
	fd    int
	side  Side
	kind  Kind
	relay *relay

	// Owned by the worker.
	out      *endpoint // the one it is sent from
	flow     Flow
	dest     sockaddr // of flow.Dest; empty for none, and while it is held
	rewrites bool     // flow.Rewrite is not the identity
	count    *Counters
	stream   stream    // RTP only
	listener *listener // RTP only; nil as long as nobody wants to know of digits
	dialer   *dialer   // RTP only; nil as long as no digit was sent to where it goes
	armed    bool      // among worker.armed
}

func newRelay(id uint64, local [2]netip.AddrPort, fds [2][2]int, onEvent func(Event)) *relay {
	r := &relay{id: id, local: local, onEvent: onEvent, own: func(netip.AddrPort) bool { return false }, ledger: &ledger{}}
	for _, side := range []Side{SideA, SideB} {
		for _, kind := range []Kind{RTP, RTCP} {
			r.endpoint[side][kind] = endpoint{
				fd: fds[side][kind], side: side, kind: kind, relay: r,
				out:   &r.endpoint[side.Other()][kind],
				count: &r.ledger.flow[side][kind],
			}
		}
	}
	return r
}

// address returns our address of a side and kind.
func (r *relay) address(side Side, kind Kind) netip.AddrPort {
	a := r.local[side]
	return netip.AddrPortFrom(a.Addr(), a.Port()+uint16(kind))
}

// resolve returns the flow from a side as it stands.
func (r *relay) resolve(from Side, kind Kind) Flow {
	f := Flow{
		ID:     FlowID{Session: r.id, From: from, Kind: kind},
		In:     r.address(from, kind),
		Source: r.party[from].latch(kind).source,
		Out:    r.address(from.Other(), r.party[from.Other()].port(kind)),
		Dest:   r.party[from.Other()].dest(kind),
	}
	if kind == RTP {
		f.Rewrite = r.rewrite[from]
		if d := r.endpoint[from][RTP].dialer; d != nil {
			f.Rewrite = f.Rewrite.plus(d.shift)
		}
		f.Held = r.party[from.Other()].named.Held
	}
	return f
}

// route brings the path up to date with latches, peers and rewrites.
func (r *relay) route() error {
	for side := range r.endpoint {
		for kind := range r.endpoint[side] {
			f := r.resolve(Side(side), Kind(kind))
			if f == r.flow[side][kind] {
				continue
			}
			if err := r.path.Attach(f, &r.ledger.flow[side][kind]); err != nil {
				return err
			}
			r.flow[side][kind] = f
		}
		src := r.party[side].rtp.source
		r.ledger.source[side].Store(&src)
	}
	return nil
}

// setPeer takes a new description of a side.
func (r *relay) setPeer(side Side, p Peer, now time.Duration) error {
	held, excused := r.held(), r.excused()
	s := &r.endpoint[side][RTP].stream
	moved := r.party[side].set(p, now)
	if moved {
		s.renew()
	}
	if in := &r.endpoint[side.Other()][RTP]; in.dialer != nil && (moved || p.Held) {
		in.dialer.drop(&in.stream, r.rewrite[side.Other()], now)
	}
	s.rate = int64(p.ClockRate)
	if p.Codec != "" {
		r.ledger.codec[side].Store(impairmentOf(p.Codec))
	}
	r.resumed(held, excused, moved, now)
	return r.route()
}

// setEvents says what to make of a side's telephone-events.
func (r *relay) setEvents(side Side, c TelephoneEvents) {
	ep := &r.endpoint[side][RTP]
	if ep.listener == nil {
		ep.listener = &listener{report: func(digit byte, d time.Duration) {
			r.post(EventDigit{Side: side, Digit: digit, Duration: d})
		}}
	}
	ep.listener.set(c)
}

// learn locks on the source of a well-formed packet.
func (r *relay) learn(ep *endpoint, src netip.AddrPort, now time.Duration) {
	r.party[ep.side].latch(ep.kind).take(src, now)
	_ = r.route()
	if ep.kind == RTP {
		r.post(EventLatched{Side: ep.side, Source: src})
	}
}

func (r *relay) post(e Event) {
	if r.onEvent != nil {
		r.onEvent(e)
	}
}
