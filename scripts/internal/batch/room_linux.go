package batch

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Size is how many datagrams are sent or read at a time.
const Size = 64

// Room is room for a batch of datagrams, of one direction at a time. All calls share it: what each call had of its
// own would not stay in the processor's cache.
type Room struct {
	messages [Size]message
	vectors  [Size]unix.Iovec
	peers    [Size]unix.RawSockaddrInet4
	control  [Size]control
	packets  [Size][]byte
	used     int // messages that are not ready to read
}

// NewRoom is room for datagrams of so many bytes. What is longer is cut.
func NewRoom(largest int) *Room {
	r := &Room{used: Size}
	for i := range r.packets {
		r.packets[i] = make([]byte, largest)
	}
	return r
}

// Packet is room for the bytes of datagram i.
func (r *Room) Packet(i int) []byte { return r.packets[i] }

// Put has datagram i be b, which has a byte at least, to an address.
func (r *Room) Put(i int, b []byte, to netip.AddrPort) {
	r.peers[i] = sockaddr(to)
	r.point(i, b)
	r.messages[i].prepare(&r.vectors[i], &r.peers[i], nil)
	r.used = max(r.used, i+1)
}

func (r *Room) point(i int, b []byte) {
	r.vectors[i].Base = &b[0]
	r.vectors[i].SetLen(len(b))
}

// Send sends the first n datagrams, and returns how many the system took, and why not more.
func (r *Room) Send(fd, n int) (sent int, errno unix.Errno) { return send(fd, r.messages[:n]) }

// Read hands on all datagrams that wait, with their sender and the time of the wall clock at which the kernel took
// them, in nanoseconds; 0: the kernel did not say.
func (r *Room) Read(fd int, take func(b []byte, from netip.AddrPort, came int64)) {
	for n := Size; n == Size; {
		for i := range r.used {
			r.point(i, r.packets[i])
			r.messages[i].prepare(&r.vectors[i], &r.peers[i], &r.control[i])
		}
		n = receive(fd, r.messages[:])
		r.used = n
		for i := range n {
			m := &r.messages[i]
			take(r.packets[i][:min(int(m.length), len(r.packets[i]))], addrPort(&r.peers[i]), m.came(&r.control[i]))
		}
	}
}
