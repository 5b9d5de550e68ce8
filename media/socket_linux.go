package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const errAddrInUse = unix.EADDRINUSE

// receiveBuffer is SO_RCVBUF, in bytes; the kernel doubles it. It holds more than a second of 50 packets/s, and ten
// thousand calls still need little memory.
const receiveBuffer = 64 << 10

// openSocket returns a non-blocking UDP socket bound to a. Its packets carry the DSCP: the upper six bits of the former
// TOS field in IPv4 and of the traffic class in IPv6 (RFC 2474 section 3). The socket is not connected: the relay
// checks the source of each packet and counts strays.
func openSocket(a netip.AddrPort, dscp uint8) (int, error) {
	v6 := a.Addr().Is6()
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_TOS
	if v6 {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	if err == nil && dscp != 0 {
		err = unix.SetsockoptInt(fd, level, option, int(dscp)<<2)
	}
	if err == nil && v6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	switch {
	case err != nil:
	case v6:
		err = unix.Bind(fd, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()})
	default:
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()})
	}
	if err != nil {
		closeSocket(fd)
		return 0, fmt.Errorf("bind %v: %w", a, err)
	}
	return fd, nil
}

func closeSocket(fd int) { _ = unix.Close(fd) }

// drainMost is more packets than a receive buffer holds. It bounds drain, so that a flood cannot block a call's start.
const drainMost = 512

// drain drops the packets that wait in a session's sockets. If none wait, it costs one system call.
func drain(fds [2]sockets) {
	var poll [4]unix.PollFd
	for i := range poll {
		poll[i] = unix.PollFd{Fd: fds[i/2][i%2], Events: unix.POLLIN}
	}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll[0])), uintptr(len(poll)),
		uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	if errno != 0 || n == 0 {
		return
	}
	for _, p := range poll {
		var buf [1]byte
		var from sockaddr
		for i := 0; p.Revents != 0 && i < drainMost; i++ {
			if _, errno := receive(p.Fd, buf[:], &from); errno != 0 {
				break
			}
		}
	}
}

// sockaddr is a socket address in the kernel's form, IPv4 or IPv6.
type sockaddr struct {
	raw  [unix.SizeofSockaddrInet6]byte
	size uint32 // used bytes of raw
}

// set encodes a. An invalid address makes s empty.
func (s *sockaddr) set(a netip.AddrPort) {
	*s = sockaddr{}
	binary.BigEndian.PutUint16(s.raw[2:], a.Port())
	switch ip := a.Addr(); {
	case ip.Is4():
		binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET)
		b := ip.As4()
		copy(s.raw[4:], b[:])
		s.size = unix.SizeofSockaddrInet4
	case ip.Is6():
		binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET6)
		b := ip.As16()
		copy(s.raw[8:], b[:])
		s.size = unix.SizeofSockaddrInet6
	}
}

// addrPort decodes s without the scope of a link-local address.
func (s *sockaddr) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(s.raw[2:])
	if binary.NativeEndian.Uint16(s.raw[:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.raw[4:8])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.raw[8:24])), port)
}

// receive reads one packet into buf and its source into from. It returns the packet's length even if buf was too short.
// It does not use the wrapper in x/sys, which would allocate the source.
func receive(fd int32, buf []byte, from *sockaddr) (int, unix.Errno) {
	from.size = uint32(len(from.raw))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), unix.MSG_DONTWAIT|unix.MSG_TRUNC,
		uintptr(unsafe.Pointer(&from.raw)), uintptr(unsafe.Pointer(&from.size)))
	return int(n), errno
}

// send sends pkt, which must not be empty.
func send(fd int32, pkt []byte, to *sockaddr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(&pkt[0])), uintptr(len(pkt)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
		uintptr(unsafe.Pointer(&to.raw)), uintptr(to.size))
	return errno
}

// sharedMost is more packets than sharedBuffer holds.
const sharedMost = 1 << 16

// sharedBuffer is the receive buffer of a shared socket, in bytes: several thousand packets.
const sharedBuffer = 4 << 20

// openSharedSocket returns a socket to which packets for other addresses can be steered.
func openSharedSocket(a netip.Addr) (int, error) {
	fd, err := openSocket(netip.AddrPortFrom(a, 0), 0)
	if err != nil {
		return 0, err
	}
	level, option := unix.SOL_IP, unix.IP_RECVORIGDSTADDR
	if a.Is6() {
		level, option = unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		closeSocket(fd)
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sharedBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, sharedBuffer) // the kernel may allow less
	}
	return fd, nil
}

// steeredPacket receives packets together with their destination address.
type steeredPacket struct {
	header  unix.Msghdr
	part    unix.Iovec
	control [64]byte
	to      sockaddr
}

// receive is receive for a shared socket.
func (p *steeredPacket) receive(fd int32, buf []byte, from *sockaddr) (int, unix.Errno) {
	p.part.Base = &buf[0]
	p.part.SetLen(len(buf))
	p.header = unix.Msghdr{
		Name: &from.raw[0], Namelen: uint32(len(from.raw)), Iov: &p.part, Iovlen: 1,
		Control: &p.control[0],
	}
	p.header.SetControllen(len(p.control))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&p.header)),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	from.size = p.header.Namelen
	return int(n), errno
}

// sentTo returns the destination of the last packet, or an invalid address if the kernel does not say.
func (p *steeredPacket) sentTo() netip.AddrPort {
	const header = unix.SizeofCmsghdr
	control := p.control[:min(int(p.header.Controllen), len(p.control))]
	if len(control) < header+unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}
	}
	p.to = sockaddr{}
	copy(p.to.raw[:], control[header:])
	return p.to.addrPort()
}
