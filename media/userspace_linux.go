package media

import (
	"fmt"
	"net/netip"
	"time"

	"flowbridge/media/latch"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
)

var _ flowPath = (*worker)(nil)

// Attach implements flowPath. It stores the flow at the socket where its packets arrive.
func (w *worker) Attach(f flow, c *counters) error {
	r := w.relays[f.ID.Session]
	if r == nil {
		return fmt.Errorf("session %d has no sockets here", f.ID.Session)
	}
	ep := &r.endpoint[f.ID.From][f.ID.Kind]
	if ep.attached { // else the kernel has it from another process
		ep.reclaim()
	}
	ep.count = c
	ep.rewrites = f.Rewrite != rewrite{}
	ep.dest = sockaddr{}
	if !f.Held && f.Dest.Addr().Is4() == f.Out.Addr().Is4() {
		ep.dest.set(f.Dest)
	}
	return nil
}

// Detach implements flowPath.
func (w *worker) Detach(id flowID) {
	if r := w.relays[id.Session]; r != nil {
		ep := &r.endpoint[id.From][id.Kind]
		ep.dest = sockaddr{}
	}
}

// serve reads a packet from a socket and relays it. It reads several if the kernel can take over the flow after them.
// If the socket rests or its session is closed, the packet is late and dropped.
func (w *worker) serve(ep *endpoint, fd int32) {
	for packets := 0; packets == 0 || w.behind == ep && packets < behindMost; packets++ {
		w.behind = nil
		n, errno := receive(fd, w.buf[:], &w.from)
		if errno != 0 {
			return // nothing waited, or reading has cleared a pending error of the socket
		}
		if r := ep.relay; r != nil && r.enter() {
			w.relay(ep, n)
			if packets > 0 && w.behind == nil { // the packet was rejected, for example, and the flow still qualifies
				w.offload(ep)
			}
			r.leave()
		}
	}
}

// relay handles the packet of n bytes in buf that arrived at ep.
func (w *worker) relay(ep *endpoint, n int) {
	if n > maxPacket {
		ep.count.dropped().Oversize.Add(1)
		return
	}
	src, pkt := w.from.addrPort(), w.buf[:n]
	if ep.kind == RTCP {
		w.relayReport(ep, src, pkt)
		return
	}
	if w.takesCheck(ep, src, pkt) {
		return
	}
	if ep.rtpState == nil {
		ep.relay.heard(ep.side)
	}
	ep.refresh(0) // the latch must know when the source was last heard
	if src != ep.flow.Source && !w.admits(ep, src) {
		w.refuse(ep, src)
		return
	}
	if packet.IsRTCP(pkt) && ep.relay.party[ep.side].named.Mux {
		w.relayMuxed(ep, src, pkt)
		return
	}
	pkt = w.unprotect(ep, pkt)
	if pkt == nil {
		return
	}
	w.follow(ep, src)
	header, valid := packet.ParseRTP(pkt)
	if !valid {
		ep.count.dropped().Malformed.Add(1)
		return
	}
	if ep.isBeside(src, header) {
		ep.cameUp(w.now) // the numbers of its stream change
	} else if !w.guard(ep, src, header) {
		return
	}
	ep.relay.confirmedBy(ep.side, src)
	w.account(ep, header, len(pkt))
	w.inbound = stage.Packet{
		Header: header, Data: pkt, Now: w.now, Source: src, Key: ep.relay.party[ep.side].named.Events.Has(header.PayloadType),
	}
	if !ep.relay.stages.Enter(ep.side, &w.inbound) {
		w.pass(ep, &w.inbound)
	}
}

// pass runs a packet through the stages and relays it.
func (w *worker) pass(ep *endpoint, p *stage.Packet) {
	if v := ep.relay.stages.Packet(ep.side, p); v != stage.Relay {
		ep.count.stopped(v)
		return
	}
	if w.blend(ep, p.Header, p.Data) {
		w.forward(ep, p.Data)
		w.offload(ep)
	}
}

// relayReport handles RTCP that arrived at the RTCP port.
func (w *worker) relayReport(ep *endpoint, src netip.AddrPort, pkt []byte) {
	v := ep.relay.party[ep.side].judgeReport(src)
	if v == latch.Stray || (v == latch.Lock && ep.relay.own(src)) {
		ep.count.dropped().WrongSource.Add(1)
		return
	}
	pkt = w.openReport(ep, pkt)
	if pkt == nil {
		return
	}
	if v == latch.Lock && src != ep.relay.party[ep.side].named.RTCP && !ep.relay.vouches(ep.side, pkt) {
		ep.count.dropped().WrongSource.Add(1)
		return
	}
	if v == latch.Lock {
		ep.relay.party[ep.side].rtcp.source = src
		_ = ep.relay.route()
	}
	w.passReport(ep, ep, src, pkt)
}

// openReport decrypts RTCP. It returns nil for a rejected packet, which it counts.
func (w *worker) openReport(ep *endpoint, pkt []byte) []byte {
	pkt = w.unprotect(ep, pkt)
	if pkt != nil && !packet.ValidRTCP(pkt) {
		ep.count.dropped().Malformed.Add(1)
		return nil
	}
	return pkt
}

// passReport relays RTCP that arrived at the socket at.
func (w *worker) passReport(ep, at *endpoint, src netip.AddrPort, pkt []byte) {
	ep.relay.refresh(anyAge) // the figures it reports on
	ep.relay.confirmedBy(ep.side, src)
	ep.count.RxPackets.Add(1)
	ep.count.RxBytes.Add(uint64(len(pkt)))
	w.inbound = stage.Packet{Data: pkt, Now: w.now, Source: src, Port: at.kind}
	ep.relay.stages.Report(ep.side, &w.inbound)
	w.control(ep, pkt)
	w.forward(ep, pkt)
}

// control reads a side's valid compound packet and rewrites it to match the relayed RTP.
func (w *worker) control(ep *endpoint, pkt []byte) {
	r := ep.relay
	r.stages.Retime(ep.side, pkt, false)
	r.readReports(ep.side, pkt, w.now)
	packet.Translate(pkt, r.alias(ep.side), r.alias(ep.side.Other()))
	r.stages.Retime(ep.side.Other(), pkt, true)
}

// admits reports whether to consider a packet that is not from the locked source. With latch.Off this is the only check
// of its source.
func (w *worker) admits(ep *endpoint, src netip.AddrPort) bool {
	l := ep.latch()
	return ep.relay.party[ep.side].hasProved(src) || src == l.Recent() ||
		(l.Admits(src, w.now) && (l.Mode() != latch.Off || !ep.relay.own(src)))
}

// isBeside reports whether a packet is a telephone-event that the side sends beside its stream with a separate SSRC, as
// some gateways do.
func (ep *endpoint) isBeside(src netip.AddrPort, h packet.Header) bool {
	p := &ep.relay.party[ep.side]
	return h.SSRC != p.rtp.SSRC() && p.named.Events.Has(h.PayloadType) && (src == p.rtp.Source() || src == p.rtp.Recent())
}

// guard reports whether to accept a packet from an admitted source, and counts the reason if not.
func (w *worker) guard(ep *endpoint, src netip.AddrPort, h packet.Header) bool {
	l := ep.latch()
	v := l.Judge(src, h, w.now)
	if v == latch.Unproven && ep.relay.secure[ep.side].in != nil {
		v = latch.Lock // authentication is a better proof than packets in a row
	}
	if v == latch.Lock && src != l.Source() && ep.relay.own(src) {
		v = latch.Stray // packets from our own port would loop forever
	}
	if v == latch.Keep || v == latch.Lock {
		ep.cameUp(w.now)
	}
	switch v {
	case latch.Keep:
		if !ep.outlet.Relays(h.SSRC) && l.Mode() == latch.Off {
			ep.outlet.Leave(ep.relayed())
		}
		l.Hear(w.now)
		return true
	case latch.Lock:
		ep.relay.learn(ep, src, h, w.now)
		return true
	case latch.Stray:
		w.refuse(ep, src)
	case latch.Unproven:
		ep.count.dropped().Unproven.Add(1)
	case latch.Foreign:
		ep.count.dropped().WrongSSRC.Add(1)
	}
	return false
}

func (w *worker) account(ep *endpoint, h packet.Header, n int) {
	c := ep.count
	c.RxPackets.Add(1)
	c.RxBytes.Add(uint64(n)) // n is at most maxPacket
	now, heard := int64(w.now), c.ofRTP()
	ep.relay.hears(ep.side, w.now)
	if h.SSRC != ep.latch().SSRC() { // a second stream of the source, with its own sequence numbers
		return
	}
	if heard.First.Load() == 0 {
		heard.First.Store(now)
	}
	heard.Last.Store(now)
	if seen := ep.stream.Observe(h, w.arrived(ep, h)); seen > 0 {
		c.RxPackets.Add(seen)
		c.TxPackets.Add(seen)
	}
	heard.keep(&ep.stream, h)
}

// blend reports whether to relay a packet. A packet may come too late, after packets of our own. blend also updates the
// rewrite.
func (w *worker) blend(ep *endpoint, h packet.Header, pkt []byte) bool {
	if h.SSRC != ep.latch().SSRC() {
		ep.outlet.Fold(h, pkt, ep.relayed(), w.now)
		_ = ep.relay.route()
		return true
	}
	relay, shifted := ep.outlet.Pass(h, ep.relayed().Rate, w.now)
	if shifted {
		_ = ep.relay.route()
	}
	if !relay {
		ep.count.dropped().Replaced.Add(1)
	}
	return relay
}

func (w *worker) forward(ep *endpoint, pkt []byte) {
	c := ep.count
	if ep.dest.size == 0 || ep.out.fd == noSocket {
		if ep.flow.Held {
			c.dropped().Held.Add(1)
		} else {
			c.dropped().NoDestination.Add(1)
		}
		return
	}
	if ep.rewrites && !ep.flow.Rewrite.apply(pkt) {
		c.dropped().Discarded.Add(1)
		return
	}
	if ep.kind == RTP {
		ep.relay.stages.Leave(ep.side, pkt)
	}
	w.emit(ep, pkt)
}

// emit sends a packet to ep's destination, through the receiver's edge if it has one. It reports whether the
// packet was sent.
func (w *worker) emit(ep *endpoint, pkt []byte) bool {
	if ep.kind == RTP {
		if sent, is := ep.relay.stages.Exit(ep.side.Other(), pkt, w.now); is {
			return sent
		}
	}
	return w.put(ep, pkt)
}

// put sends a packet to ep's destination unchanged. All packets of a session are sent by it.
func (w *worker) put(ep *endpoint, pkt []byte) bool {
	if ep.flow.Unconfirmed && ep.withholds(len(pkt)) {
		return false
	}
	sent, ok := w.protect(ep, pkt)
	if !ok {
		return false
	}
	if errno := w.transmit(ep.out, sent, &ep.dest); errno != 0 {
		ep.count.dropped().SendError.Add(1)
		return false
	}
	ep.count.TxPackets.Add(1)
	ep.count.TxBytes.Add(uint64(len(pkt)))
	return true
}

// refusedEvery is the least time between two notes of a refused source, so that spoofed addresses cost little.
const refusedEvery = time.Second

type refused struct {
	source netip.AddrPort
	at     time.Duration
}

// refuse counts an RTP packet from a refused source, and notes the source for the statistics.
func (w *worker) refuse(ep *endpoint, src netip.AddrPort) {
	ep.count.dropped().WrongSource.Add(1)
	if ep.refused == nil {
		ep.refused = &refused{}
	}
	r := ep.refused
	if src == r.source || (r.source.IsValid() && w.now-r.at < refusedEvery) {
		return
	}
	*r = refused{source: src, at: w.now}
	noted := src
	ep.relay.ledger.refused[ep.side].Store(&noted)
}

// relayMuxed relays RTCP that arrived at a side's RTP port, from the source of its RTP. It locks nothing: RTP does
// that.
func (w *worker) relayMuxed(rtp *endpoint, src netip.AddrPort, pkt []byte) {
	ep, l := &rtp.relay.endpoint[rtp.side][RTCP], rtp.latch()
	wished := rtp.relay.party[rtp.side].wishes(src)
	if src != l.Source() && src != l.Named() && l.Mode() != latch.Off && !wished {
		ep.count.dropped().WrongSource.Add(1)
		return
	}
	pkt = w.openReport(ep, pkt)
	if pkt != nil {
		w.follow(rtp, src)
		w.passReport(ep, rtp, src, pkt)
	}
}

// outlet returns the endpoint whose socket sends packets of a kind to a side.
func (r *relay) outlet(to Side, k Kind) *endpoint { return &r.endpoint[to][r.party[to].port(k)] }

// port returns the kind of port that packets for the party are sent from and to.
func (p *party) port(k Kind) Kind {
	if p.named.Mux {
		return RTP
	}
	return k
}
