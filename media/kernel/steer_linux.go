//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// steerer finds sockets for what goes up to addresses that have none.
type steerer struct {
	program *programObjects
	link    *link.NetNsLink
}

func openSteerer(p *programObjects) (*steerer, error) {
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("the network namespace: %w", err)
	}
	defer ns.Close()
	l, err := link.AttachNetNs(int(ns.Fd()), p.Steer)
	if err != nil {
		return nil, fmt.Errorf("the kernel does not let sockets be chosen by a program: %w", err)
	}
	return &steerer{program: p, link: l}, nil
}

func (s *steerer) close() {
	if s != nil {
		_ = s.link.Close()
	}
}

// Socket gives the relay a bound, unconnected UDP socket of the caller's as number i, 0 to 1023, for Steer. The caller
// closes it, which takes it away.
func (r *Relay) Socket(i, fd int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	if err := r.program.Sockets.Update(uint32(i), uint64(fd), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("a socket to steer to: %w", err)
	}
	return nil
}

// Steer has packets to one of our addresses, which need not be bound, come to socket i, if they go up. The socket is
// of the same IP version. It sees where they were sent to with IP_RECVORIGDSTADDR or IPV6_RECVORIGDSTADDR. Steering
// comes before the sockets that are bound to the address, but not before connected ones.
func (r *Relay) Steer(to netip.AddrPort, i int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	if err := r.program.Steered.Update(keyOf(to), uint32(i), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("steering %v: %w", to, err)
	}
	return nil
}

// Unsteer ends what Steer began.
func (r *Relay) Unsteer(to netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		_ = r.program.Steered.Delete(keyOf(to))
	}
}
