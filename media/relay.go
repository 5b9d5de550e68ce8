package media

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"flowbridge/media/latch"
	"flowbridge/media/packet"
	"flowbridge/media/quality"
	"flowbridge/media/stage"
	"flowbridge/media/stream"
)

// relay is the worker's side of a session.
type relay struct {
	// Constant.
	id      uint64
	local   [2]netip.AddrPort // RTP
	onEvent func(Event)
	own     func(netip.AddrPort) bool // reports whether an address is one of our own ports
	ledger  ledger
	turn    atomic.Uint32 // turnFree, turnTaken or turnOver

	offloaded atomic.Int32 // flows in the kernel; changed by the owner of the turn

	// Owned by the owner of the turn.
	worker   *worker
	path     flowPath
	endpoint [2][2]endpoint // indexed by side and kind
	party    [2]party
	secure   [2]secure
	payloads [2][maxPayloadChanges]PayloadChange // changes of the packets from each side
	stages   stage.Stages

	hearing   hearing
	roundTrip [2]roundTrip // round trip to each side
	note      note
}

// The values of relay.turn. The owner of the turn owns the session: the worker for a packet or a command, or another
// goroutine that reads the kernel's counters or takes flows back. The goroutine that closes the session takes the last
// turn, and so needs no answer from the worker: after that nothing is counted, sent or reported.
const (
	turnFree uint32 = iota
	turnTaken
	turnOver
)

// A turn takes a few microseconds.
const (
	turnSpins = 100
	turnPause = 50 * time.Microsecond
)

// enter starts a turn. It reports false if the session is closed.
func (r *relay) enter() bool { return r.turn.CompareAndSwap(turnFree, turnTaken) || r.await(turnTaken) }

func (r *relay) leave() { r.turn.Store(turnFree) }

// end takes the last turn.
func (r *relay) end() { r.await(turnOver) }

// await takes the turn when it is free. It reports false if the session is closed.
func (r *relay) await(turn uint32) bool {
	for i := 0; !r.turn.CompareAndSwap(turnFree, turn); i++ {
		if r.turn.Load() == turnOver {
			return false
		}
		if i < turnSpins {
			runtime.Gosched()
		} else {
			time.Sleep(turnPause) // the owner's thread may be waiting for the kernel
		}
	}
	return true
}

// endpoint is one socket of a session, with the state of the packets that arrive there and of their destination.
type endpoint struct {
	// Constant.
	relay *relay
	count *counters
	side  Side
	kind  Kind

	// Owned by the worker.
	attached  bool      // its flow is attached to relay.path
	rewrites  bool      // flow.Rewrite is not the identity
	armed     bool      // among worker.armed
	fd        int32     // -1 if there is none, or no longer
	out       *endpoint // the socket that its packets are sent from
	flow      course    // the flow as attached
	dest      sockaddr  // the address flow.Dest; empty if there is none or it is held
	*rtpState           // nil for RTCP, and before the first packet
}

// rtpState is allocated for an RTP endpoint with its first packet. State that few calls need is behind pointers.
type rtpState struct {
	stream  stream.Stream
	outlet  stream.Outlet
	offload offload
	refused *refused // nil before the first refused packet

	drops      uint32 // dropped by the kernel at the socket, as last read
	lateHere   bool   // the last packet was too late because of us
	lostBefore uint64 // losses when drops was read
}

// init initialises a relay from the zero value.
func (r *relay) init(id uint64, local [2]netip.AddrPort, sockets [2]sockets, onEvent func(Event)) {
	r.id, r.local, r.onEvent = id, local, onEvent
	r.stages.Init(r)
	for _, side := range []Side{SideA, SideB} {
		r.party[side].named = &undescribed
		for _, kind := range []Kind{RTP, RTCP} {
			r.endpoint[side][kind] = endpoint{
				fd: sockets[side][kind], side: side, kind: kind, relay: r,
				out:   &r.endpoint[side.Other()][kind],
				count: &r.ledger.flow[side][kind],
			}
		}
	}
}

// heard returns the endpoint of a side's RTP, creating its state if necessary.
func (r *relay) heard(side Side) *endpoint {
	ep := &r.endpoint[side][RTP]
	if ep.rtpState == nil {
		ep.rtpState = &rtpState{stream: stream.Stream{Rate: int64(r.party[side].named.ClockRate)}, drops: dropsOf(ep.fd)}
	}
	return ep
}

// relayed returns the stream that the outlet continues: the side's own, or what its edge makes of it.
func (ep *endpoint) relayed() *stream.Stream { return ep.relay.stages.Relayed(ep.side, &ep.stream) }

// saveOutlet writes the position in the stream to the other side. An edge restarts, and continues after the last packet
// sent.
func (ep *endpoint) saveOutlet(st *stream.OutletState, exact bool, c stream.Clock) {
	ep.outlet.Save(st, ep.relayed(), exact && !ep.relay.stages.HasEdge(ep.side), c)
	ahead := ep.relay.stages.Ahead(ep.side.Other())
	st.Sequence, st.NewSeq = st.Sequence+ahead, st.NewSeq+ahead
}

// restoreOutlet continues that stream.
func (ep *endpoint) restoreOutlet(st *stream.OutletState, exact bool, c stream.Clock) {
	ep.outlet.Restore(st, exact, c)
	if ep.relay.stages.HasEdge(ep.side) {
		ep.outlet.Restart()
	}
}

// latch returns the latch that decides which source a side's RTP is accepted from.
func (ep *endpoint) latch() *latch.Latch { return &ep.relay.party[ep.side].rtp }

func (r *relay) address(side Side, kind Kind) netip.AddrPort {
	a := r.local[side]
	return netip.AddrPortFrom(a.Addr(), a.Port()+uint16(kind))
}

// resolve returns the current flow from a side.
func (r *relay) resolve(from Side, kind Kind) flow {
	f := flow{
		ID:  flowID{Session: r.id, From: from, Kind: kind},
		In:  r.address(from, kind),
		Out: r.address(from.Other(), r.party[from.Other()].port(kind)),
	}
	f.Source, f.Dest = r.party[from].source(kind), r.party[from.Other()].dest(kind)
	f.Unconfirmed = r.party[from.Other()].isUnconfirmed(f.Dest)
	if kind == RTP {
		f.SSRC = r.party[from].rtp.SSRC()
		if ep := &r.endpoint[from][RTP]; ep.rtpState != nil {
			f.Rewrite.Shift = ep.outlet.Shift
		}
		f.Rewrite.Payload = r.payloads[from]
		f.Held = r.party[from.Other()].named.Held
	}
	return f
}

func (r *relay) endpoints() [4]*endpoint {
	e := &r.endpoint
	return [4]*endpoint{&e[SideA][RTP], &e[SideA][RTCP], &e[SideB][RTP], &e[SideB][RTCP]}
}

// route attaches the flows that changes of latches, peers or rewrites affect.
func (r *relay) route() error {
	for _, ep := range r.endpoints() {
		f, out := r.resolve(ep.side, ep.kind), r.outlet(ep.side.Other(), ep.kind)
		if !ep.attached || f.course != ep.flow || out != ep.out {
			if ep.attached && outdates(ep.flow, f.course) {
				r.outdated()
			}
			if err := r.path.Attach(f, ep.count); err != nil {
				return err
			}
			ep.attached, ep.flow, ep.out = true, f.course, out
		}
		r.ledger.located(ep.side, r.party[ep.side].rtp.Source())
	}
	return nil
}

func (r *relay) describe(side Side, p *Peer, now time.Duration) error {
	defer r.probe(now)
	return r.apply(side, r.party[side].proved(p), now)
}

// apply applies a description whose address is proved if it has to be.
func (r *relay) apply(side Side, p *Peer, now time.Duration) error {
	held, excused := r.held(), r.excused()
	moved := r.party[side].set(p, now)
	if ep := &r.endpoint[side][RTP]; ep.rtpState != nil {
		if moved {
			ep.stream.Renew()
		}
		ep.stream.SetRate(p.ClockRate)
	}
	if ep := &r.endpoint[side.Other()][RTP]; ep.rtpState != nil && (moved || p.Held) {
		r.stages.Silence(ep.side, moved, now)
	}
	if p.Codec != "" {
		r.ledger.codec[side].Store(quality.ImpairmentOf(p.Codec))
	}
	r.resumed(held, excused, moved, now)
	r.stages.Held = r.excused() || !r.complete()
	return r.route()
}

// learn locks to the source and stream of an RTP packet.
func (r *relay) learn(ep *endpoint, src netip.AddrPort, h packet.Header, now time.Duration) {
	p := &r.party[ep.side]
	l, before := &p.rtp, p.dest(RTP)
	moved := src != l.Source()
	if l.Source().IsValid() && src.Addr() != l.Source().Addr() {
		p.rtcp.source = netip.AddrPort{} // the RTCP now comes from the new address as well
	}
	ep.outlet.Leave(ep.relayed())
	l.Take(src, h, now)
	if !moved {
		ep.stream.Moves(h.SSRC)
	}
	ep.stream.Renew()
	_ = r.route()
	if p.dest(RTP) != before {
		r.stages.Redirect(ep.side.Other(), now)
	}
	if moved {
		r.post(EventLatched{Side: ep.side, Source: src})
	}
}

// vouches reports whether a compound packet proves that it comes from the side: it is authentic, or it starts with a
// report (RFC 3550 §6.1) about the side's known stream. A goodbye proves nothing, because its sender need not be heard
// again.
func (r *relay) vouches(side Side, compound []byte) bool {
	return r.secure[side].in != nil || packet.ReportsOf(compound, r.party[side].rtp.SSRC())
}

func (r *relay) post(e Event) {
	if r.onEvent != nil {
		r.onEvent(e)
	}
}
