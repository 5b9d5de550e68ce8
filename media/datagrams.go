package media

import (
	"encoding/binary"
	"net/netip"
	"sync"
)

const (
	dtlsHeaderLen    = 13 // length of a record header (RFC 6347 §4.1)
	datagramsWaiting = 16 // more than a handshake flight has; further datagrams are dropped
)

// Datagrams carries the DTLS handshake in which a side agrees on SRTP keys, over the RTP ports (RFC 5764 §5.1.2, RFC
// 7983). Sending and receiving never block the media: if there is no room, a datagram is dropped.
type Datagrams struct {
	send     func(pkt []byte)
	received chan []byte
	done     chan struct{}
	once     sync.Once

	// Owned by the worker.
	source netip.AddrPort // source of the last handshake; our datagrams are sent there, too
	waits  []byte         // our last datagram while the side had no address; nil if there is none
}

// NewDatagrams returns a channel for datagrams that sends through send. Engines create channels; NewDatagrams is
// exported for the tests of packages that use engines.
func NewDatagrams(send func(pkt []byte)) *Datagrams {
	return &Datagrams{send: send, received: make(chan []byte, datagramsWaiting), done: make(chan struct{})}
}

// Received returns the channel of datagrams from the side.
func (d *Datagrams) Received() <-chan []byte { return d.received }

// Done is closed when no more datagrams are sent or received: the session has ended, or the side has other keys.
func (d *Datagrams) Done() <-chan struct{} { return d.done }

// Send sends a datagram to the side. It does not retain pkt.
func (d *Datagrams) Send(pkt []byte) {
	select {
	case <-d.done:
	default:
		d.send(append([]byte(nil), pkt...))
	}
}

// Deliver passes on a datagram from the side. It does not retain pkt.
func (d *Datagrams) Deliver(pkt []byte) {
	if len(d.received) == cap(d.received) { // only this goroutine fills the channel
		return
	}
	select {
	case d.received <- append([]byte(nil), pkt...):
	default:
	}
}

// Close ends the exchange. A second call has no effect.
func (d *Datagrams) Close() {
	if d != nil {
		d.once.Do(func() { close(d.done) })
	}
}

// Datagrams opens the channel for a side's DTLS and closes the previous one. The channel closes when the session ends,
// or when SetCrypto switches the side to plain RTP. Set Crypto.Awaited or keys for the side first; otherwise its
// packets are not treated as DTLS.
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

// endDatagrams closes the DTLS channels of some sides. The session is locked.
func (s *Session) endDatagrams(sides ...Side) {
	for _, side := range sides {
		if s.wanted != nil {
			s.wanted.datagrams[side].Close()
			s.wanted.datagrams[side] = nil
		}
	}
}

// alertRecord is the type of a record with an alert (RFC 5246 §6.2.1).
const alertRecord = 21

// isDTLS reports whether a packet on an RTP port is a DTLS record (RFC 7983 §7).
func isDTLS(pkt []byte) bool { return len(pkt) >= dtlsHeaderLen && pkt[0] >= 20 && pkt[0] <= 63 }

// begins reports whether a record may start a handshake: it is not encrypted yet. A former peer's late records are no
// start, because the end of its association is encrypted.
func begins(pkt []byte) bool {
	return pkt[0] == 22 && pkt[1] == 0xfe && binary.BigEndian.Uint16(pkt[3:]) == 0 // RFC 6347 §4.1: type, version, epoch
}

// takesDatagram handles a DTLS packet from an admitted source. It returns false if the packet is not DTLS or if the
// side has no DTLS channel. Our answer to a handshake also goes to the packet's source, because a side behind NAT can't
// be reached at the address in its SDP.
func (w *worker) takesDatagram(ep *endpoint, pkt []byte) bool {
	d := ep.relay.secure[ep.side].in.datagrams
	if ep.kind != RTP || !isDTLS(pkt) {
		return false
	}
	if w.mayClose(ep, pkt); d == nil {
		return false
	}
	if begins(pkt) && d.source != ep.latch().Named() {
		d.source = w.from.addrPort()
	}
	d.Deliver(pkt)
	return true
}

// orderDatagrams carries out a command of Datagrams: it sends a datagram to a side, or sets the channel that receives
// the side's datagrams.
func (w *worker) orderDatagrams(c command) {
	if in := c.relay.secure[c.side].in; c.datagram != nil {
		w.sendDatagram(c.relay, c.side, c.datagram)
	} else if in != nil {
		in.datagrams = c.datagrams
	}
}

// sendDatagram sends DTLS to a side from its RTP socket. It sends to the source of the side's handshake and, if that
// differs from the address in the SDP, also to the side's media destination. Neither address is proved yet. One may
// belong to a stranger, but a stranger does not have the side's certificate.
func (w *worker) sendDatagram(r *relay, side Side, pkt []byte) {
	in, dest := r.secure[side].in, r.party[side].dest(RTP)
	if in != nil && in.datagrams != nil && in.datagrams.source.IsValid() {
		source := in.datagrams.source
		if w.sendDatagramTo(r, side, pkt, source); source == dest || source == r.party[side].rtp.Named() {
			return
		}
	}
	if !dest.IsValid() && in != nil && in.datagrams != nil {
		in.datagrams.waits = pkt
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
