package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// ReceiveBuffer is the size of each SIP socket's receive buffer, in bytes. The kernel's default
// size loses bursts.
const ReceiveBuffer = 4 << 20

// listenUDP opens a socket with a large receive buffer. It logs a warning if the system allows only
// a smaller one.
func listenUDP(addr netip.AddrPort, log zerolog.Logger) (Socket, error) {
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	got, err := setReceiveBuffer(conn, ReceiveBuffer)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if got < ReceiveBuffer {
		log.Warn().Stringer("listen", addr).Int("bytes", got).Int("wanted", ReceiveBuffer).
			Str("remedy", fmt.Sprintf("sysctl -w net.core.rmem_max=%d", ReceiveBuffer)).
			Msg("small receive buffer: bursts of calls can be lost")
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &udpSocket{UDPConn: conn}, nil
}

// udpSocket is a UDP socket of the kernel that tells when a datagram arrived.
type udpSocket struct {
	*net.UDPConn
	control [64]byte // room for the control messages of a datagram; owned by the reader
}

// ReadTimed is ReadFromUDPAddrPort with the datagram's time of arrival, or the zero time if that is
// not known.
func (s *udpSocket) ReadTimed(b []byte) (n int, from netip.AddrPort, came time.Time, err error) {
	n, controls, _, from, err := s.ReadMsgUDPAddrPort(b, s.control[:])
	if err != nil {
		return n, from, came, err
	}
	return n, from, timeOfArrival(s.control[:controls]), nil
}

// timeOfArrival finds the kernel's timestamp (SO_TIMESTAMPNS) among control messages.
func timeOfArrival(controls []byte) time.Time {
	for len(controls) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(controls)
		if err != nil {
			break
		}
		if header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_TIMESTAMPNS && len(data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		}
		controls = rest
	}
	return time.Time{}
}

// boundUnanswered makes the kernel close a connection if the peer does not acknowledge bytes within
// streamUnanswered. Otherwise a peer that has vanished would seem alive for a quarter of an hour.
// Accepted connections inherit this from their listener.
func boundUnanswered(_, _ string, raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(streamUnanswered.Milliseconds()))
	})
	return errors.Join(err, set)
}

// listenTCP opens a listener.
func listenTCP(addr netip.AddrPort) (net.Listener, error) {
	network := "tcp4"
	if addr.Addr().Is6() {
		network = "tcp6"
	}
	l := net.ListenConfig{KeepAlive: streamKeepAlive, Control: boundUnanswered}
	return l.Listen(context.Background(), network, addr.String())
}

// remedyOf returns advice to append to the error for a socket that can't be opened, or "".
func remedyOf(err error) string {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return "; another process has the port, see ss -lntup"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return "; this machine does not have the address, see ip addr"
	case errors.Is(err, unix.EACCES):
		return "; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
	default:
		return ""
	}
}

// noRoom reports whether the kernel had no room for a datagram at the moment, so that sending it
// later may work.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EAGAIN)
}

// setReceiveBuffer sets the size of a socket's receive buffer, and returns the resulting size. It
// exceeds the system's limit (net.core.rmem_max) if the process may do that.
func setReceiveBuffer(conn *net.UDPConn, bytes int) (got int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("receive buffer: %w", err)
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
		if set == nil {
			got, set = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		}
	})
	if err == nil {
		err = set
	}
	if err != nil {
		return 0, fmt.Errorf("receive buffer: %w", err)
	}
	return got / 2, nil // the kernel's value is doubled for its own overhead
}
