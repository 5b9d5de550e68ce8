//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// steerer delivers packets that go up to addresses without a socket.
type steerer struct {
	program *programObjects
	link    *link.NetNsLink
	sinks   []int
}

// sink is the number of the socket for excess IPv4 packets. The next number is for IPv6.
const sink = 1022

func openSteerer(p *programObjects) (*steerer, error) {
	s := &steerer{program: p}
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *steerer) open() error {
	for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, err := openSink(family)
		if err != nil {
			continue // without this IP version, the kernel drops excess packets
		}
		s.sinks = append(s.sinks, fd)
		if err := s.program.Sockets.Update(uint32(sink+i), uint64(fd), ebpf.UpdateAny); err != nil {
			return fmt.Errorf("a socket to steer to: %w", err)
		}
	}
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("the network namespace: %w", err)
	}
	defer ns.Close()
	l, err := link.AttachNetNs(int(ns.Fd()), s.program.Steer)
	if err != nil {
		return fmt.Errorf("the kernel does not let sockets be chosen by a program: %w", err)
	}
	s.link = l
	return nil
}

// openSink returns a socket on loopback that holds almost nothing.
func openSink(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	var at unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if family == unix.AF_INET6 {
		at = &unix.SockaddrInet6{Addr: [16]byte{15: 1}}
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) // the kernel raises it to its minimum
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("a socket that nobody reads: %w", err)
	}
	return fd, nil
}

func (s *steerer) close() {
	if s == nil {
		return
	}
	if s.link != nil {
		_ = s.link.Close()
	}
	for _, fd := range s.sinks {
		_ = unix.Close(fd)
	}
}

// Socket registers a bound, unconnected UDP socket of the caller as number i, 0 to 1021, for Steer. Closing the socket
// unregisters it.
func (r *Relay) Socket(i, fd int) error {
	if !r.enter() {
		return errClosed
	}
	defer r.leave()
	if i < 0 || i >= sink {
		return fmt.Errorf("there is no socket number %d to steer to", i)
	}
	if err := r.program.Sockets.Update(uint32(i), uint64(fd), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("a socket to steer to: %w", err)
	}
	return nil
}

// Steer delivers packets for one of our addresses that go up to socket i. The address need not be bound. At most that
// many packets per second reach the socket; the rest are dropped. The socket must have the same IP version as the
// address. It gets the packets' destination with IP_RECVORIGDSTADDR or IPV6_RECVORIGDSTADDR. Steering takes precedence
// over sockets bound to the address, but not over connected ones.
func (r *Relay) Steer(to netip.AddrPort, i int, most uint32) error {
	if !r.enter() {
		return errClosed
	}
	defer r.leave()
	if err := r.program.Steered.Update(keyOf(to), &programSteering{Socket: uint32(i), Most: most},
		ebpf.UpdateAny); err != nil {
		return fmt.Errorf("steering %v: %w", to, err)
	}
	return nil
}

// Unsteer undoes Steer.
func (r *Relay) Unsteer(to netip.AddrPort) {
	if r.enter() {
		defer r.leave()
		_ = r.program.Steered.Delete(keyOf(to))
	}
}
