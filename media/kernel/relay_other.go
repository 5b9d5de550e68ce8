//go:build !linux || !(386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64)

package kernel

import (
	"errors"
	"net/netip"
	"os"
	"time"
)

// Relay is not supported here.
type Relay struct{}

// Open returns an error: the program is built for Linux on little-endian processors.
func Open(Options) (*Relay, error) {
	return nil, errors.New(
		"the relay in the kernel is not supported on this system: it needs Linux on a little-endian processor")
}

// Try returns the error of Open.
func Try() error {
	_, err := Open(Options{})
	return err
}

// Slow returns nil, because the kernel relays nothing here.
func Slow() error { return nil }

// CheckDir returns the error of Open.
func CheckDir(dir, old string) error { return Try() }

// Now is not supported here.
func Now() time.Duration { return 0 }

// A Relay is never created here. Its methods exist so that callers compile.

func (*Relay) Put(Flow, State) error                   { return ErrUnfit }
func (*Relay) Remove(netip.AddrPort) (State, bool)     { return State{}, false }
func (*Relay) State(netip.AddrPort) (State, bool)      { return State{}, false }
func (*Relay) Read() error                             { return nil }
func (*Relay) Directory() *os.File                     { return nil }
func (*Relay) Inherit() error                          { return ErrUnfit }
func (*Relay) Inherited(netip.AddrPort) (Flow, bool)   { return Flow{}, false }
func (*Relay) Adopt(Flow) (State, error)               { return State{}, ErrUnfit }
func (*Relay) Dismiss(netip.AddrPort) (State, bool)    { return State{}, false }
func (*Relay) DismissAll()                             {}
func (*Relay) Look(Flow)                               {}
func (*Relay) Local(netip.Addr) (netip.Addr, error)    { return netip.Addr{}, ErrUnfit }
func (*Relay) Uses(uint16) bool                        { return false }
func (*Relay) Adopted() int                            { return 0 }
func (*Relay) Listens() bool                           { return false }
func (*Relay) Socket(int, int) error                   { return ErrUnfit }
func (*Relay) Steer(netip.AddrPort, int, uint32) error { return ErrUnfit }
func (*Relay) Unsteer(netip.AddrPort)                  {}
func (*Relay) Path() string                            { return "" }
func (*Relay) Silence() error                          { return nil }
func (*Relay) Leave()                                  {}
func (*Relay) Abandon()                                {}
func (*Relay) Close()                                  {}

// RemoveLeftovers does nothing.
func RemoveLeftovers(string) {}
