// Package batch sends and reads datagrams many at a time, without telling the runtime. It is for loads that poll their
// sockets by the clock, so that their own cost stays small and constant with any system.
package batch

import (
	"errors"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is struct mmsghdr of sendmmsg(2) and recvmmsg(2), on 64-bit machines.
type message struct {
	header unix.Msghdr
	length uint32 // bytes read or sent
	_      uint32
}

// control is room for the timestamp of a datagram.
type control [64]byte

const bufferSize = 32 << 20 // of a socket, in bytes

// open returns a non-blocking UDP socket with the largest possible receive buffer, whose datagrams are timestamped on
// arrival.
func open(want netip.AddrPort) (fd int, at netip.AddrPort, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, at, os.NewSyscallError("socket", err)
	}
	if at, err = prepare(fd, want); err != nil {
		_ = unix.Close(fd)
	}
	return fd, at, err
}

func prepare(fd int, want netip.AddrPort) (at netip.AddrPort, err error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferSize) != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferSize)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err != nil {
		return at, os.NewSyscallError("setsockopt", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: want.Addr().As4(), Port: int(want.Port())}); err != nil {
		return at, os.NewSyscallError("bind to "+want.String(), err)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		return at, os.NewSyscallError("getsockname", err)
	}
	sa, ok := own.(*unix.SockaddrInet4)
	if !ok {
		return at, errors.New("not an IPv4 socket")
	}
	return netip.AddrPortFrom(want.Addr(), uint16(sa.Port)), nil // a port is 16 bits
}

// sockaddr returns an IPv4 socket address in the kernel's form.
func sockaddr(a netip.AddrPort) unix.RawSockaddrInet4 {
	sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	port := (*[2]byte)(unsafe.Pointer(&sa.Port))
	port[0], port[1] = byte(a.Port()>>8), byte(a.Port())
	return sa
}

// addrPort returns an IPv4 socket address written by the kernel.
func addrPort(sa *unix.RawSockaddrInet4) netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&sa.Port))
	return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(port[0])<<8|uint16(port[1]))
}

// prepare sets a message up to send or receive vector, to or from peer. control receives the time of arrival. peer and
// control may be nil.
func (m *message) prepare(vector *unix.Iovec, peer *unix.RawSockaddrInet4, control *control) {
	m.header = unix.Msghdr{Iov: vector}
	m.header.SetIovlen(1)
	if peer != nil {
		m.header.Name, m.header.Namelen = (*byte)(unsafe.Pointer(peer)), unix.SizeofSockaddrInet4
	}
	if control != nil {
		m.header.Control = &control[0]
		m.header.SetControllen(len(control))
	}
}

// send sends the messages. It returns how many the system accepted, and why it did not accept more.
func send(fd int, all []message) (sent int, errno unix.Errno) {
	for sent < len(all) {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&all[sent])),
			uintptr(len(all)-sent), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return sent, errno
		default:
			sent += int(n)
		}
	}
	return sent, 0
}

// receive reads waiting datagrams, and returns how many of the messages it filled.
func receive(fd int, room []message) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&room[0])), uintptr(len(room)),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0 // no datagram is waiting
	}
	return int(n)
}

// came returns when a message came, in nanoseconds of the wall clock: now, if the kernel did not say.
func (m *message) came(control *control) int64 {
	header := (*unix.Cmsghdr)(unsafe.Pointer(control))
	has := m.header.Controllen >= unix.SizeofCmsghdr
	if has && header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_TIMESTAMPNS {
		return (*unix.Timespec)(unsafe.Pointer(&control[unix.SizeofCmsghdr])).Nano()
	}
	return Clock(unix.CLOCK_REALTIME)
}

// SleepUntil waits until a time of the monotonic clock, in nanoseconds. It does not tell the runtime, because that
// would keep the runtime's monitor busy.
func SleepUntil(ns int64) {
	at := unix.NsecToTimespec(ns)
	const absolute = 1 // TIMER_ABSTIME
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, absolute,
			uintptr(unsafe.Pointer(&at)), 0, 0, 0)
		if errno != unix.EINTR {
			return
		}
	}
}

// Punctual makes this thread wake up on time. Otherwise it wakes up 50 µs late.
func Punctual() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// Clock returns the time of a clock, such as unix.CLOCK_MONOTONIC, in nanoseconds.
func Clock(id int32) int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t) // can't fail: all clocks used here exist
	return t.Nano()
}
