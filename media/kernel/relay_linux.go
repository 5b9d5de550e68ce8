//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Relay is the program in the kernel with its flows. Its methods may be called from any goroutine.
type Relay struct{}

// Open loads the program, has it relay known packets, and attaches it to the interfaces of the calling thread's
// network namespace. The error says in a sentence for an operator why the kernel can't relay here.
func Open(Options) (*Relay, error) {
	return nil, errors.New("the relay in the kernel is not here yet")
}

// Now is the time on the clock of all States: CLOCK_MONOTONIC, which the clock of Go's time package is, too.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Put begins to carry a flow and takes over its state. From when it returns, the next packet that comes to f.In is
// relayed; what came before waits at the sockets. The error is ErrUnfit with a reason, ErrFull, or that of a system
// call. A flow with the same In must have been removed.
func (r *Relay) Put(f Flow, s State) error { return ErrUnfit }

// Change replaces the flow with the same In at once; its state goes on. An error leaves the flow as it was.
func (r *Relay) Change(f Flow) error { return ErrUnfit }

// Remove ends the flow to our address in. When it returns, no packet is relayed any more, and all that were are in the
// state. It reports whether there was such a flow.
func (r *Relay) Remove(in netip.AddrPort) (State, bool) { return State{}, false }

// State returns the present state of the flow to in, with one system call.
func (r *Relay) State(in netip.AddrPort) (State, bool) { return State{}, false }

// Read calls each with the state of every flow that this process has put, from few system calls. The State is valid
// during the call. Flows that are put or removed meanwhile may be missing.
func (r *Relay) Read(each func(in netip.AddrPort, s *State)) error { return nil }

// Observe counts a packet of the flow to in that went up, as if it had been relayed: it came from the flow's source with
// its SSRC, and the caller relays it or not. Sent counts stay, and so does Discarded. It reports whether there is such
// a flow. Else the caller counts the packet itself. It is one system call.
func (r *Relay) Observe(in netip.AddrPort, h Header) bool { return false }

// Local returns our address towards a peer, by the routes. False: there is no route.
func (r *Relay) Local(peer netip.Addr) (netip.Addr, bool) { return netip.Addr{}, false }

// Uses reports whether an adopted flow has the port as one of ours. It may not be leased then.
func (r *Relay) Uses(port uint16) bool { return false }

// Adopted returns how many flows of an earlier process are carried. They are removed once they are silent.
func (r *Relay) Adopted() int { return 0 }

// Socket gives the relay a bound, unconnected UDP socket of the caller's as number i, 0 to 1023, for Steer. The caller
// closes it, which takes it away.
func (r *Relay) Socket(i, fd int) error { return ErrUnfit }

// Steer has packets to one of our addresses, which need not be bound, come to socket i, if they go up. The socket is
// of the same IP version. It sees where they were sent to with IP_RECVORIGDSTADDR or IPV6_RECVORIGDSTADDR. Steering
// comes before the sockets that are bound to the address, but not before connected ones.
func (r *Relay) Steer(to netip.AddrPort, i int) error { return ErrUnfit }

// Unsteer ends what Steer began.
func (r *Relay) Unsteer(to netip.AddrPort) {}

// Path says how the program is attached and where: "tcx on eth0, lo".
func (r *Relay) Path() string { return "" }

// Leave ends the process's part. Flows go on in the kernel for the next process, if there is a directory.
func (r *Relay) Leave() {}

// Close ends all flows, takes the program off the interfaces and removes the directory's contents.
func (r *Relay) Close() {}
