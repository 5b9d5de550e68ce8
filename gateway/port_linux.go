package gateway

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ports watches the RTP sockets of all calls. The clock asks it every 5 ms what has come: if the runtime watched them,
// each packet would wake a goroutine by itself, which costs more than the packet.
type ports struct {
	epoll  int
	events [64]unix.EpollEvent
	ready  []*call

	mu    sync.Mutex
	calls map[int32]*call // by descriptor
}

func newPorts() (*ports, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &ports{epoll: fd, calls: map[int32]*call{}}, os.NewSyscallError("epoll_create1", err)
}

func (p *ports) close() { _ = unix.Close(p.epoll) }

// watch makes waiting return a call when its socket has packets.
func (p *ports) watch(c *call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	fd := c.rtp.fd
	err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: fd})
	if err == nil {
		p.calls[fd] = c
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// forget must be called before the socket of a call is closed.
func (p *ports) forget(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[c.rtp.fd] == c {
		delete(p.calls, c.rtp.fd)
	}
}

// waiting returns calls whose sockets have packets, without waiting for any. Only the clock calls it; the result is
// valid until the next call.
func (p *ports) waiting() []*call {
	p.ready = p.ready[:0]
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), 0, 0, 0)
	if errno != 0 || n == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events[:n] {
		if c := p.calls[e.Fd]; c != nil {
			p.ready = append(p.ready, c)
		}
	}
	return p.ready
}

// port is the socket of a call's RTP, on a port of 127.0.0.1. It has no IPv6: the B2BUA gives a peer an address of the
// peer's own family, and the configuration refuses bots without an IPv4 address in sip.listen.
type port struct {
	fd int32 // -1 once it is closed
	at netip.AddrPort
}

func openPort() (p port, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return p, os.NewSyscallError("socket", err)
	}
	p.fd = int32(fd)
	var bound unix.Sockaddr
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		bound, err = unix.Getsockname(fd)
	}
	if at, is := bound.(*unix.SockaddrInet4); is {
		p.at = netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port))
	}
	if err != nil {
		p.close()
	}
	return p, os.NewSyscallError("bind", err)
}

func (p *port) close() {
	if p.fd >= 0 {
		_ = unix.Close(int(p.fd))
		p.fd = -1
	}
}

// read reads a packet, if one waits. Unlike Recvfrom of package unix it does not allocate the source.
func (p *port) read(b []byte) (n int, from netip.AddrPort) {
	var source [unix.SizeofSockaddrInet4]byte
	size := uint32(len(source))
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(p.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&source)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, from
	}
	ip := netip.AddrFrom4([4]byte(source[4:8]))
	return int(got), netip.AddrPortFrom(ip, binary.BigEndian.Uint16(source[2:]))
}

// send sends a packet to an IPv4 address, and drops one for another. A lost packet is the network's way.
func (p *port) send(b []byte, to netip.AddrPort) {
	if !to.Addr().Is4() {
		return
	}
	var dest [unix.SizeofSockaddrInet4]byte
	binary.NativeEndian.PutUint16(dest[:], unix.AF_INET)
	binary.BigEndian.PutUint16(dest[2:], to.Port())
	ip := to.Addr().As4()
	copy(dest[4:], ip[:])
	_, _, _ = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(p.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&dest)), uintptr(len(dest)))
}
