package dtls

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v5/deadline"

	"flowbridge/media"
)

// wire adapts media.Datagrams to the DTLS library. Close does not close the Datagrams.
type wire struct {
	*media.Datagrams
	read   *deadline.Deadline
	silent atomic.Bool   // drop outgoing datagrams
	spoken atomic.Uint32 // whether this attempt has answered; one of the values below
}

// These are the values of wire.spoken. It leaves saidNothing one time, when the attempt has started to answer or
// never will. From its first answer on, the peer continues from what it has received, and a further attempt would
// not know that.
const (
	saidNothing uint32 = iota
	hasAnswered
	givenUp
)

func newWire(d *media.Datagrams) *wire { return &wire{Datagrams: d, read: deadline.New()} }

// address is the net.Addr of a side. It is empty, because only package media knows the real address.
type address struct{}

func (address) Network() string { return "udp" }
func (address) String() string  { return "the side" }

// ReadFrom waits for a datagram.
func (w *wire) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		select {
		case pkt := <-w.Received():
			if plausible(pkt) {
				return copy(p, pkt), address{}, nil
			}
		case <-w.Done():
			return 0, nil, net.ErrClosed
		case <-w.read.Done():
			return 0, nil, w.read.Err()
		}
	}
}

// WriteTo sends a datagram. It never blocks.
func (w *wire) WriteTo(p []byte, _ net.Addr) (int, error) {
	select {
	case <-w.Done():
		return 0, net.ErrClosed
	default:
	}
	w.spoken.CompareAndSwap(saidNothing, hasAnswered)
	if w.spoken.Load() == hasAnswered && !w.silent.Load() {
		w.Send(p)
	}
	return len(p), nil
}

// Close implements net.PacketConn.
func (w *wire) Close() error { return nil }

// LocalAddr implements net.PacketConn.
func (w *wire) LocalAddr() net.Addr { return address{} }

// SetDeadline implements net.PacketConn.
func (w *wire) SetDeadline(t time.Time) error { return w.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.read.Set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
