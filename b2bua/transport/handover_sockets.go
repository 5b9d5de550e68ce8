package transport

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// File is an open file that a stack hands over to the process that replaces this process.
type File struct {
	Name string // the name by which the other process finds it
	FD   int    // a duplicate, which the receiver must close
}

// Sockets returns duplicates of the UDP sockets and listeners, with their names.
func (s *Stack) Sockets() (all []File, err error) {
	add := func(name string, of any) {
		if err != nil {
			return
		}
		var fd int
		if fd, err = CopyOf(of); err == nil {
			all = append(all, File{Name: name, FD: fd})
		}
	}
	for _, g := range s.sockets {
		add(g.name, g.Socket)
	}
	for _, l := range s.listeners {
		add(l.name, l.Listener)
	}
	if err != nil {
		for _, f := range all {
			Discard(f.FD)
		}
		return nil, err
	}
	return all, nil
}

// CopyOf duplicates the descriptor of a socket, listener or connection.
func CopyOf(of any) (fd int, err error) {
	conn, ok := of.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("%T has no descriptor", of)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	control := raw.Control(func(was uintptr) { fd, err = unix.FcntlInt(was, unix.F_DUPFD_CLOEXEC, 0) })
	if control != nil {
		return 0, control
	}
	return fd, err
}

// datagramName returns the name of a UDP socket for a handover. Like all such names, it contains the address as
// configured, because several configured addresses may leave the port to the system.
func datagramName(at netip.AddrPort) string { return "udp " + at.String() }
func streamName(at netip.AddrPort) string   { return "tcp " + at.String() }

// taking returns a Network that uses the sockets and listeners of another process where it has them. take returns a
// socket by its name, and each socket only once. It returns false if there is no socket with this name.
func (n Network) taking(take func(name string) (fd int, ok bool)) Network {
	open, openStream := n.Listen, n.ListenStream
	n.Listen = func(at netip.AddrPort) (Socket, error) {
		fd, ok := take(datagramName(at))
		if !ok {
			return open(at)
		}
		f := os.NewFile(uintptr(fd), "sip")
		defer func() { _ = f.Close() }()
		conn, err := net.FilePacketConn(f)
		if err != nil {
			return nil, err
		}
		udp, ok := conn.(*net.UDPConn)
		if !ok {
			return nil, fmt.Errorf("%T is no UDP socket", conn)
		}
		return &udpSocket{UDPConn: udp}, nil
	}
	n.ListenStream = func(at netip.AddrPort) (net.Listener, error) {
		fd, ok := take(streamName(at))
		if !ok {
			return openStream(at)
		}
		f := os.NewFile(uintptr(fd), "sip")
		defer func() { _ = f.Close() }()
		return net.FileListener(f)
	}
	return n
}
