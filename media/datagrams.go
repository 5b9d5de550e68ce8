package media

import (
	"encoding/binary"
	"net/netip"
	"sync"
)

const (
	dtlsHeaderLen    = 13 // of a record (RFC 6347 §4.1)
	datagramsWaiting = 16 // a flight of a handshake has fewer; what is more is dropped, as any datagram may be
)

// Datagrams are the packets by which a side agrees on SRTP keys: DTLS on the ports of RTP (RFC 5764 §5.1.2, RFC 7983).
// Sending and receiving never block the media: what there is no room for is dropped.
type Datagrams struct {
	send     func(pkt []byte)
	received chan []byte
	done     chan struct{}
	once     sync.Once

	// Owned by the worker.
	source netip.AddrPort // of the last beginning of a handshake that came: ours go there, too
}

// NewDatagrams returns a way for datagrams, which are sent by send. Engines make it; it is exported for tests of their
// users.
func NewDatagrams(send func(pkt []byte)) *Datagrams {
	return &Datagrams{send: send, received: make(chan []byte, datagramsWaiting), done: make(chan struct{})}
}

// Received has what the side has sent.
func (d *Datagrams) Received() <-chan []byte { return d.received }

// Done is closed when no more datagrams come or go: the session is over, or the side has other keys.
func (d *Datagrams) Done() <-chan struct{} { return d.done }

// Send sends a datagram to the side, which keeps nothing of pkt.
func (d *Datagrams) Send(pkt []byte) {
	select {
	case <-d.done:
	default:
		d.send(append([]byte(nil), pkt...))
	}
}

// Deliver takes a datagram of the side, and keeps nothing of pkt.
func (d *Datagrams) Deliver(pkt []byte) {
	if len(d.received) == cap(d.received) { // nobody else fills it
		return
	}
	select {
	case d.received <- append([]byte(nil), pkt...):
	default:
	}
}

// Close ends it. A second call has no effect.
func (d *Datagrams) Close() {
	if d != nil {
		d.once.Do(func() { close(d.done) })
	}
}

// Datagrams returns the way for a side's DTLS, in the place of one before, which ends. It ends with the session, and
// when SetCrypto says that the side has plain RTP. A side must have Crypto.Awaited or keys, else what it sends is no
// DTLS.
func (s *Session) Datagrams(side Side) *Datagrams {
	d := NewDatagrams(func(pkt []byte) {
		_ = s.worker.post(command{op: opDatagrams, relay: &s.relay, side: side, datagram: pkt}, true)
	})
	s.mu.Lock()
	s.endDatagrams(side)
	if s.wanted == nil || s.closed {
		d.Close()
	} else {
		s.wanted.datagrams[side] = d
	}
	s.mu.Unlock()
	s.tell(command{op: opDatagrams, side: side, datagrams: d})
	return d
}

// endDatagrams ends the ways for a side's DTLS. The session is locked.
func (s *Session) endDatagrams(sides ...Side) {
	for _, side := range sides {
		if s.wanted != nil {
			s.wanted.datagrams[side].Close()
			s.wanted.datagrams[side] = nil
		}
	}
}

// isDTLS reports whether a packet on a port of RTP is a record of DTLS (RFC 7983 §7).
func isDTLS(pkt []byte) bool { return len(pkt) >= dtlsHeaderLen && pkt[0] >= 20 && pkt[0] <= 63 }

// begins reports whether a record may be of the beginning of a handshake, which is not encrypted yet. What a former
// peer still sends is none: the end of its association is encrypted.
func begins(pkt []byte) bool {
	return pkt[0] == 22 && pkt[1] == 0xfe && binary.BigEndian.Uint16(pkt[3:]) == 0 // RFC 6347 §4.1: type, version, epoch
}

// takesDatagram takes a packet of an admitted source that is DTLS. False: nobody waits for it, or it is something else.
// The answer to a handshake goes to where that came from, too: a side behind NAT is not where it says.
func (w *worker) takesDatagram(ep *endpoint, pkt []byte) bool {
	d := ep.relay.secure[ep.side].in.datagrams
	if d == nil || ep.kind != RTP || !isDTLS(pkt) {
		return false
	}
	if begins(pkt) && d.source != ep.latch().Named() {
		d.source = w.from.addrPort()
	}
	d.Deliver(pkt)
	return true
}

// orderDatagrams sends a datagram to a side, or has those of the side go where they are waited for.
func (w *worker) orderDatagrams(c command) {
	if in := c.relay.secure[c.side].in; c.datagram != nil {
		w.sendDatagram(c.relay, c.side, c.datagram)
	} else if in != nil {
		in.datagrams = c.datagrams
	}
}

// sendDatagram sends DTLS to a side, from the socket that its RTP comes to: to where its handshake came from, and to
// where its media goes unless that was the address which it names. Nothing has proved yet that it is there, so one of
// them may be a stranger's, who has not the side's certificate.
func (w *worker) sendDatagram(r *relay, side Side, pkt []byte) {
	in, dest := r.secure[side].in, r.party[side].dest(RTP)
	if in != nil && in.datagrams != nil && in.datagrams.source.IsValid() {
		source := in.datagrams.source
		if w.sendDatagramTo(r, side, pkt, source); source == dest || source == r.party[side].rtp.Named() {
			return
		}
	}
	w.sendDatagramTo(r, side, pkt, dest)
}

func (w *worker) sendDatagramTo(r *relay, side Side, pkt []byte, dest netip.AddrPort) {
	ep, from := &r.endpoint[side][RTP], &r.endpoint[side.Other()][RTP]
	if !dest.IsValid() || dest.Addr().Is4() != r.local[side].Addr().Is4() || ep.fd == noSocket {
		return
	}
	if r.party[side].isUnconfirmed(dest) && from.withholds(len(pkt)) {
		return
	}
	var to sockaddr
	to.set(dest)
	_ = w.transmit(ep, pkt, &to)
}
