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

// port is the socket of a call's RTP, on a port of a loopback address.
type port struct {
	fd int32 // -1 once it is closed
	at netip.AddrPort
}

func openPort(at netip.Addr) (p port, err error) {
	var to unix.Sockaddr
	family := unix.AF_INET
	if at.Is6() {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: at.As16()}
	} else {
		to = &unix.SockaddrInet4{Addr: at.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return p, os.NewSyscallError("socket", err)
	}
	p.fd = int32(fd)
	if err = unix.Bind(fd, to); err == nil {
		to, err = unix.Getsockname(fd)
	}
	switch to := to.(type) {
	case *unix.SockaddrInet4:
		p.at = netip.AddrPortFrom(at, uint16(to.Port))
	case *unix.SockaddrInet6:
		p.at = netip.AddrPortFrom(at, uint16(to.Port))
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

// socketAddress is an address in the kernel's form.
type socketAddress struct {
	raw  [unix.SizeofSockaddrInet6]byte
	size uint32 // used bytes of raw
}

// read reads a packet, if one waits. Unlike that of package unix it does not allocate the source.
func (p *port) read(b []byte) (n int, from netip.AddrPort) {
	var s socketAddress
	s.size = uint32(len(s.raw))
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(p.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&s.raw)), uintptr(unsafe.Pointer(&s.size)))
	if errno != 0 {
		return 0, from
	}
	port := binary.BigEndian.Uint16(s.raw[2:])
	if p.at.Addr().Is6() {
		return int(got), netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.raw[8:24])), port)
	}
	return int(got), netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.raw[4:8])), port)
}

// send sends a packet to an address of the same family. A lost packet is the network's way.
func (p *port) send(b []byte, to netip.AddrPort) {
	var s socketAddress
	binary.BigEndian.PutUint16(s.raw[2:], to.Port())
	switch ip := to.Addr(); {
	case ip.Is4():
		binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET)
		b4 := ip.As4()
		copy(s.raw[4:], b4[:])
		s.size = unix.SizeofSockaddrInet4
	case ip.Is6():
		binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET6)
		b16 := ip.As16()
		copy(s.raw[8:], b16[:])
		s.size = unix.SizeofSockaddrInet6
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(p.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&s.raw)), uintptr(s.size))
}
