package media

import "fmt"

var _ Path = (*worker)(nil)

// Attach implements Path: the flow is put where its packets arrive.
func (w *worker) Attach(f Flow, c *Counters) error {
	r := w.relays[f.ID.Session]
	if r == nil {
		return fmt.Errorf("session %d has no sockets here", f.ID.Session)
	}
	ep := &r.endpoint[f.ID.From][f.ID.Kind]
	ep.flow, ep.count = f, c
	ep.rewrites = f.Rewrite != Rewrite{}
	ep.out = r.outlet(f)
	ep.dest = sockaddr{}
	if !f.Held && f.Dest.Addr().Is4() == f.Out.Addr().Is4() {
		ep.dest.set(f.Dest)
	}
	return nil
}

// Detach implements Path.
func (w *worker) Detach(id FlowID) {
	if r := w.relays[id.Session]; r != nil {
		ep := &r.endpoint[id.From][id.Kind]
		ep.flow, ep.dest = Flow{}, sockaddr{}
	}
}

// serve relays one packet that waits at a socket.
func (w *worker) serve(ep *endpoint) {
	n, errno := receive(ep.fd, w.buf[:], &w.from)
	if errno == 0 {
		w.relay(ep, n)
	}
	// Else nothing waited, or it was an error pending on the socket, which
	// reading has cleared.
}

// relay deals with the packet of n bytes in buf that came to ep.
func (w *worker) relay(ep *endpoint, n int) {
	if n > maxPacket {
		ep.count.Oversize.Add(1)
		return
	}
	src, pkt := w.from.addrPort(), w.buf[:min(n, bufferSize)]
	source := keep
	if src != ep.flow.Source {
		source = ep.relay.party[ep.side].latch(ep.kind).judge(src, w.now)
		if source == lock && ep.relay.own(src) {
			source = refuse
		}
	}
	if source == refuse {
		ep.count.WrongSource.Add(1)
		return
	}
	if ep.kind == RTP && ep.relay.party[ep.side].named.Mux && isRTCP(pkt) {
		w.relayMuxed(ep, pkt)
		return
	}
	var header rtpHeader
	valid := false
	if ep.kind == RTP {
		header, valid = parseRTP(pkt)
	} else {
		valid = validRTCP(pkt)
	}
	if !valid {
		ep.count.Malformed.Add(1)
		return
	}
	if source == lock {
		ep.relay.learn(ep, src, w.now)
	}
	ep.count.RxPackets.Add(1)
	ep.count.RxBytes.Add(uint64(n)) // at most maxPacket
	if ep.kind == RTCP {
		w.control(ep, pkt)
	} else {
		w.account(ep, header)
		if ep.listener != nil && !w.listen(ep, header, pkt) {
			return
		}
		if ep.dialer != nil && !w.blend(ep, header) {
			return
		}
	}
	w.forward(ep, pkt)
}

// account brings the statistics of an RTP stream up to date.
func (w *worker) account(ep *endpoint, h rtpHeader) {
	c := ep.count
	now := int64(w.now)
	ep.relay.hears(ep.side, w.now)
	if c.First.Load() == 0 {
		c.First.Store(now)
	}
	c.Last.Store(now)
	ep.stream.observe(h, w.now)
	c.keep(&ep.stream, h)
}

// listen reads pkt if it is a telephone-event, and says whether to relay it.
func (w *worker) listen(ep *endpoint, h rtpHeader, pkt []byte) bool {
	l := ep.listener
	if !l.config.On || h.payloadType != l.config.PayloadType {
		return true
	}
	relay := l.hear(h, pkt, w.now)
	w.arm(ep)
	if !relay {
		ep.count.Diverted.Add(1)
	}
	return relay
}

// forward sends pkt on from the other side's socket.
func (w *worker) forward(ep *endpoint, pkt []byte) {
	c := ep.count
	if ep.dest.size == 0 {
		if ep.flow.Held {
			c.Held.Add(1)
		} else {
			c.NoDestination.Add(1)
		}
		return
	}
	if ep.rewrites {
		ep.flow.Rewrite.apply(pkt)
	}
	w.emit(ep, pkt)
}

// emit sends a packet to where those of ep go, and says whether it went. All
// that a session sends leaves here.
func (w *worker) emit(ep *endpoint, pkt []byte) bool {
	if errno := send(ep.out.fd, pkt, &ep.dest); errno != 0 {
		ep.count.SendError.Add(1)
		return false
	}
	ep.count.TxPackets.Add(1)
	ep.count.TxBytes.Add(uint64(len(pkt)))
	return true
}
