//go:build !linux || !(386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64)

package kernel

import (
	"errors"
	"net/netip"
	"time"
)

// Relay is not supported here.
type Relay struct{}

// Open returns an error: the program is built for Linux on little-endian processors.
func Open(Options) (*Relay, error) {
	return nil, errors.New("the relay in the kernel is not supported on this system: it needs Linux on a little-endian processor")
}

// Try returns the error of Open.
func Try() error {
	_, err := Open(Options{})
	return err
}

// Now is not supported here.
func Now() time.Duration { return 0 }

// The methods of a relay, which never exists here.

func (*Relay) Put(Flow, State) error                   { return ErrUnfit }
func (*Relay) Change(Flow) error                       { return ErrUnfit }
func (*Relay) Remove(netip.AddrPort) (State, bool)     { return State{}, false }
func (*Relay) State(netip.AddrPort) (State, bool)      { return State{}, false }
func (*Relay) Read(func(netip.AddrPort, *State)) error { return nil }
func (*Relay) Observe(netip.AddrPort, Header) bool     { return false }
func (*Relay) Local(netip.Addr) (netip.Addr, bool)     { return netip.Addr{}, false }
func (*Relay) Uses(uint16) bool                        { return false }
func (*Relay) Adopted() int                            { return 0 }
func (*Relay) Socket(int, int) error                   { return ErrUnfit }
func (*Relay) Steer(netip.AddrPort, int) error         { return ErrUnfit }
func (*Relay) Unsteer(netip.AddrPort)                  {}
func (*Relay) Path() string                            { return "" }
func (*Relay) Leave()                                  {}
func (*Relay) Close()                                  {}
