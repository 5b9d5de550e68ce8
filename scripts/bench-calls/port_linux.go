package main

import (
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2) and recvmmsg(2), on 64-bit machines.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      uint32
}

const (
	controlSize = 64 // room for one time stamp
	largest     = 4096
	batchSize   = 64       // datagrams that are sent or read at a time
	bufferSize  = 32 << 20 // of a socket, in bytes
)

// port is a UDP socket that waits for nobody: what is sent is kept until flush.
type port struct {
	fd  int
	at  netip.AddrPort
	out []datagram

	messages [batchSize]mmsghdr // for both directions
	vectors  [batchSize]unix.Iovec
	peers    [batchSize]unix.RawSockaddrInet4
	packets  *[batchSize][largest]byte
	control  [batchSize][controlSize]byte
}

type datagram struct {
	b  []byte
	to netip.AddrPort
}

// openPort opens a socket at an address, with a receive buffer as large as can be had.
func openPort(at netip.AddrPort) (*port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferSize) != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferSize)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("socket at "+at.String(), err)
	}
	return &port{fd: fd, at: at, packets: new([batchSize][largest]byte)}, nil
}

func (p *port) close() { _ = unix.Close(p.fd) }

// send has b sent to an address by the next flush. b must not change until then.
func (p *port) send(b []byte, to netip.AddrPort) { p.out = append(p.out, datagram{b, to}) }

// flush sends what waits. What the system does not take stays for the next time.
func (p *port) flush() {
	for len(p.out) > 0 {
		n := min(len(p.out), batchSize)
		for i, d := range p.out[:n] {
			p.peers[i] = sockaddr(d.to)
			p.vectors[i].Base = &d.b[0]
			p.vectors[i].SetLen(len(d.b))
			p.messages[i].header = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&p.peers[i])), Namelen: unix.SizeofSockaddrInet4, Iov: &p.vectors[i]}
			p.messages[i].header.SetIovlen(1)
		}
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&p.messages)), uintptr(n), 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno == unix.EAGAIN || errno == unix.ENOBUFS {
			return
		}
		if errno != 0 { // nobody listens there, which an earlier datagram has shown
			sent = 1
		}
		p.out = append(p.out[:0], p.out[sent:]...)
	}
}

// sockaddr is an IPv4 socket address as the kernel reads it.
func sockaddr(a netip.AddrPort) unix.RawSockaddrInet4 {
	sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	number := (*[2]byte)(unsafe.Pointer(&sa.Port))
	number[0], number[1] = byte(a.Port()>>8), byte(a.Port())
	return sa
}

// read hands on all datagrams that wait, with their sender and the time of the wall clock at
// which the kernel took them, in nanoseconds.
func (p *port) read(take func(b []byte, from netip.AddrPort, came int64)) {
	for {
		for i := range p.messages {
			p.vectors[i].Base = &p.packets[i][0]
			p.vectors[i].SetLen(largest)
			p.messages[i].header = unix.Msghdr{
				Name: (*byte)(unsafe.Pointer(&p.peers[i])), Namelen: unix.SizeofSockaddrInet4,
				Iov: &p.vectors[i], Control: &p.control[i][0],
			}
			p.messages[i].header.SetIovlen(1)
			p.messages[i].header.SetControllen(controlSize)
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&p.messages)), batchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			return // nothing waits
		}
		for i := range int(n) {
			m := &p.messages[i]
			take(p.packets[i][:min(int(m.length), largest)], sender(&p.peers[i]), stamp(&m.header, &p.control[i]))
		}
		if n < batchSize {
			return
		}
	}
}

func sender(sa *unix.RawSockaddrInet4) netip.AddrPort {
	number := (*[2]byte)(unsafe.Pointer(&sa.Port))
	return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(number[0])<<8|uint16(number[1]))
}

// stamp is when a datagram came; if the kernel did not say, now.
func stamp(h *unix.Msghdr, control *[controlSize]byte) int64 {
	header := (*unix.Cmsghdr)(unsafe.Pointer(control))
	if h.Controllen >= unix.SizeofCmsghdr && header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_TIMESTAMPNS {
		return (*unix.Timespec)(unsafe.Pointer(&control[unix.SizeofCmsghdr])).Nano()
	}
	return clock(unix.CLOCK_REALTIME)
}

// sleepUntil waits for a moment of the monotonic clock, in nanoseconds. The
// runtime is not told: its monitor would be kept busy by that.
func sleepUntil(ns int64) {
	at := unix.NsecToTimespec(ns)
	const absolute = 1 // TIMER_ABSTIME
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, absolute, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
		if errno != unix.EINTR {
			return
		}
	}
}

func clock(id int32) int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t) // both clocks exist
	return t.Nano()
}
