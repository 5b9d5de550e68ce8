package main

import (
	"errors"
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
	controlSize = 64       // room for one time stamp
	bufferSize  = 32 << 20 // of a socket, in bytes
	batchSize   = 64       // packets that are read at a time
)

// openSocket returns a UDP socket that waits for nobody, with as large a receive
// buffer as can be had, whose packets get the time when they came.
func openSocket(a netip.Addr) (fd int, at netip.AddrPort, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, at, os.NewSyscallError("socket", err)
	}
	if at, err = prepare(fd, a); err != nil {
		_ = unix.Close(fd)
	}
	return fd, at, err
}

func prepare(fd int, a netip.Addr) (at netip.AddrPort, err error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferSize) != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferSize)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err != nil {
		return at, os.NewSyscallError("setsockopt", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: a.As4()}); err != nil {
		return at, os.NewSyscallError("bind", err)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		return at, os.NewSyscallError("getsockname", err)
	}
	sa, ok := own.(*unix.SockaddrInet4)
	if !ok {
		return at, errors.New("not an IPv4 socket")
	}
	return netip.AddrPortFrom(a, uint16(sa.Port)), nil // a port is 16 bits
}

// sockaddr is an IPv4 socket address as the kernel reads it.
func sockaddr(a netip.AddrPort) *unix.RawSockaddrInet4 {
	sa := &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	port := (*[2]byte)(unsafe.Pointer(&sa.Port))
	port[0], port[1] = byte(a.Port()>>8), byte(a.Port())
	return sa
}

// outgoing is a message that sends b to a destination.
func outgoing(b []byte, to *unix.RawSockaddrInet4) mmsghdr {
	iov := &unix.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	m := mmsghdr{header: unix.Msghdr{Name: (*byte)(unsafe.Pointer(to)), Namelen: unix.SizeofSockaddrInet4, Iov: iov}}
	m.header.SetIovlen(1)
	return m
}

// send sends all messages and returns how many the system took.
func send(fd int, all []mmsghdr) (sent int) {
	for sent < len(all) {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&all[sent])), uintptr(len(all)-sent), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return sent
		default:
			sent += int(n)
		}
	}
	return sent
}

// incoming is room for a batch of packets.
type incoming struct {
	messages [batchSize]mmsghdr
	packet   [batchSize][packetSize + 4]byte // longer than any of ours
	control  [batchSize][controlSize]byte
}

func newIncoming() *incoming {
	in := &incoming{}
	for i := range in.messages {
		iov := &unix.Iovec{Base: &in.packet[i][0]}
		iov.SetLen(len(in.packet[i]))
		in.messages[i].header = unix.Msghdr{Iov: iov, Control: &in.control[i][0]}
		in.messages[i].header.SetIovlen(1)
	}
	return in
}

// read reads what waits, at most a batch, and returns how many packets came.
func (in *incoming) read(fd int) int {
	for i := range in.messages {
		in.messages[i].header.SetControllen(controlSize)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.messages)), batchSize, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0 // nothing waits
	}
	return int(n)
}

// at returns a packet and when it came, in nanoseconds of the wall clock; 0: the
// kernel did not say.
func (in *incoming) at(i int) (packet []byte, came int64) {
	m := &in.messages[i]
	header := (*unix.Cmsghdr)(unsafe.Pointer(&in.control[i]))
	if m.header.Controllen >= unix.SizeofCmsghdr && header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_TIMESTAMPNS {
		stamp := (*unix.Timespec)(unsafe.Pointer(&in.control[i][unix.SizeofCmsghdr]))
		came = stamp.Nano()
	}
	return in.packet[i][:min(int(m.length), len(in.packet[i]))], came
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
