package batch

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/namespace"
)

// Size is how many datagrams are sent or read at a time.
const Size = 64

// Port is a non-blocking UDP socket with room for a batch of datagrams, in one direction at a time. All calls share it:
// separate buffers for each call would not stay in the processor's cache.
type Port struct {
	At       netip.AddrPort
	fd       int
	out      []datagram // waiting for the next Flush
	messages [Size]message
	vectors  [Size]unix.Iovec
	peers    [Size]unix.RawSockaddrInet4
	control  [Size]control
	packets  [Size][]byte
	used     int // messages that are not ready for reading
}

type datagram struct {
	text string
	to   netip.AddrPort
}

// Listen opens a port in a namespace, for datagrams of up to largest bytes. Longer ones are truncated. Port 0 means any
// port.
func Listen(in namespace.Namespace, at netip.AddrPort, largest int) (*Port, error) {
	p := &Port{used: Size}
	for i := range p.packets {
		p.packets[i] = make([]byte, largest)
	}
	return p, in.Do(func() (err error) {
		p.fd, p.At, err = open(at)
		return err
	})
}

// Close closes the socket.
func (p *Port) Close() { _ = unix.Close(p.fd) }

// Packet returns the buffer of datagram i.
func (p *Port) Packet(i int) []byte { return p.packets[i] }

// Put sets datagram i to b, which must not be empty, for an address.
func (p *Port) Put(i int, b []byte, to netip.AddrPort) {
	p.peers[i] = sockaddr(to)
	p.point(i, b)
	p.messages[i].prepare(&p.vectors[i], &p.peers[i], nil)
	p.used = max(p.used, i+1)
}

func (p *Port) point(i int, b []byte) {
	p.vectors[i].Base = &b[0]
	p.vectors[i].SetLen(len(b))
}

// Send sends the first n datagrams, and returns how many the system accepted, and why not more.
func (p *Port) Send(n int) (sent int, errno unix.Errno) { return send(p.fd, p.messages[:n]) }

// Queue queues a text to be sent to an address by the next Flush.
func (p *Port) Queue(text string, to netip.AddrPort) { p.out = append(p.out, datagram{text, to}) }

// Flush sends the queue. Datagrams without room stay for the next time.
func (p *Port) Flush() {
	for len(p.out) > 0 {
		n := min(len(p.out), Size)
		for i, d := range p.out[:n] {
			p.Put(i, unsafe.Slice(unsafe.StringData(d.text), len(d.text)), d.to)
		}
		sent, errno := p.Send(n)
		full := errno == unix.EAGAIN || errno == unix.ENOBUFS
		if errno != 0 && !full { // what cannot be sent is lost, as in a network
			sent++
		}
		p.out = append(p.out[:0], p.out[sent:]...)
		if full {
			return
		}
	}
}

// Read passes on all waiting datagrams, with their sender and the wall-clock time at which the kernel received them, in
// nanoseconds.
func (p *Port) Read(take func(b []byte, from netip.AddrPort, came int64)) {
	for n := Size; n == Size; {
		for i := range p.used {
			p.point(i, p.packets[i])
			p.messages[i].prepare(&p.vectors[i], &p.peers[i], &p.control[i])
		}
		n = receive(p.fd, p.messages[:])
		p.used = n
		for i := range n {
			m := &p.messages[i]
			b := p.packets[i]
			take(b[:min(int(m.length), len(b))], addrPort(&p.peers[i]), m.came(&p.control[i]))
		}
	}
}
