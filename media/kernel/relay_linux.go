//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	defaultTimeout = 30 * time.Second
	defaultMaxAge  = time.Hour
)

// Relay is the program in the kernel with its flows. Its methods may be called from any goroutine.
type Relay struct {
	// Constant.
	options Options
	program programObjects
	hints   *ebpf.Memory
	place   *place
	routes  *routes
	steerer *steerer
	watcher *watcher
	listens bool // the program has the part that listens

	life   sync.RWMutex // held for reading while the program or its maps are used
	closed bool         // changes under life
	silent atomic.Bool  // Silence has begun; from now on the directory may belong to another process

	mu      sync.Mutex                  // guards the fields below; not held during system calls
	flows   map[netip.AddrPort]*carried // flows of this process, by In
	slots   []*carried                  // indexed by slot; nil if the slot is free or its flow is adopted
	free    []uint32                    // free slots
	lastID  uint64
	adopted map[netip.AddrPort]*adopted
	ports   map[uint16]int // how many adopted flows use a port
	heir    bool           // the old process still owns all flows

	attaching sync.Mutex          // guards the fields below, also during system calls
	attached  map[int]*attachment // by interface
	clsact    bool                // the program is attached by clsact instead of tcx
	path      atomic.Pointer[string]

	reading sync.Mutex // guards the buffers of Read
	keys    []uint32
	values  []programState
}

var errClosed = fmt.Errorf("%w: the relay is closed", ErrUnfit)

// Open loads the program, tests it with known packets, and attaches it to the interfaces of the calling thread's
// network namespace. The error explains to an operator in one sentence why the kernel can't relay here.
func Open(o Options) (*Relay, error) {
	if o.Capacity < 1 || o.Capacity > maxCapacity {
		return nil, fmt.Errorf("a capacity of %d flows is not in 1 to %d", o.Capacity, maxCapacity)
	}
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	o.MaxAge = cmp.Or(o.MaxAge, defaultMaxAge)
	r := &Relay{
		options: o, lastID: uint64(Now()),
		flows: map[netip.AddrPort]*carried{}, adopted: map[netip.AddrPort]*adopted{}, attached: map[int]*attachment{},
		ports: map[uint16]int{}, slots: make([]*carried, o.Capacity+1),
	}
	if err := r.open(); err != nil {
		r.end(r.place != nil && r.place.maps != nil) // flows that another process left must not be ended here
		return nil, err
	}
	return r, nil
}

// Try loads and tests the program as Open does, but does not attach it.
func Try() error {
	r := &Relay{options: Options{Capacity: 1}, place: &place{}, lastID: 1}
	if err := r.load(); err != nil {
		return err
	}
	return errors.Join(r.test(), r.program.Close())
}

// Slow returns the reason why the program is slower than necessary for this process, or nil if it is not. Without
// CAP_PERFMON the verifier adds barriers against speculation (docs/benchmarks.md gives their cost).
func Slow() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&head, &sets[0]); err != nil {
		return nil // the capabilities are unknown
	}
	for _, enough := range []int{unix.CAP_PERFMON, unix.CAP_SYS_ADMIN} {
		if sets[enough/32].Effective&(1<<(enough%32)) != 0 {
			return nil
		}
	}
	return errNoPerfmon
}

var errNoPerfmon = errors.New("without CAP_PERFMON a packet takes the kernel about twice as long, " +
	"and conversations are not measured")

// open does the work of Open. If open fails, the caller must call end, which releases what open has created.
func (r *Relay) open() (err error) {
	if r.place, err = openPlace(&r.options); err != nil {
		return err
	}
	if r.routes, err = openRoutes(r.options.ipsec); err != nil {
		return err
	}
	if err := r.load(); err != nil {
		return err
	}
	if err := r.test(); err != nil {
		return err
	}
	if err := r.place.pin(&r.program); err != nil {
		return err
	}
	r.heir = r.options.Heir != nil
	if !r.heir {
		if err := r.adopt(); err != nil {
			return err
		}
	}
	if err := r.attach(); err != nil {
		return err
	}
	r.place.sweep()
	if r.steerer, err = openSteerer(&r.program); err != nil {
		return err
	}
	r.watcher, err = watch(r)
	return err
}

// Now returns the time on the clock of all States: CLOCK_MONOTONIC, which Go's time package also uses.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // can't happen: the clock exists since Linux 2.6
	}
	return time.Duration(ts.Nano())
}

// enter starts a use of the program. It returns false if the relay is closed or silent.
func (r *Relay) enter() bool {
	r.life.RLock()
	if r.closed || r.silent.Load() {
		r.life.RUnlock()
		return false
	}
	return true
}

func (r *Relay) leave() { r.life.RUnlock() }

// Local returns our address towards a peer, according to the routes. The error is ErrUnknown until [Relay.Look] has
// found the route, or ErrUnfit if there is no route.
func (r *Relay) Local(peer netip.Addr) (netip.Addr, error) {
	if !r.enter() {
		return netip.Addr{}, errClosed
	}
	defer r.leave()
	out := r.routes.known(peer.Unmap(), netip.Addr{})
	if out.err == nil && !out.src.IsValid() {
		return netip.Addr{}, fmt.Errorf("%w: there is no address of ours towards %v", ErrUnfit, peer)
	}
	return out.src, out.err
}

// Uses reports whether an adopted flow uses the port as one of our ports. If so, the port must not be leased.
func (r *Relay) Uses(port uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ports[port] > 0
}

// Listens reports whether flows may Listen: the process had CAP_PERFMON when it opened the relay, and the kernel
// accepted the whole program.
func (r *Relay) Listens() bool { return r.listens }

// Adopted returns how many flows of an earlier process are carried. They are removed once they are silent or too old.
func (r *Relay) Adopted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.adopted)
}

// Leave ends the relay of this process. If there is a directory, the flows continue in the kernel for the next
// process.
func (r *Relay) Leave() { r.end(r.options.Dir != "") }

// Abandon ends the relay of a process that does not replace the old one after all. The inherited flows still belong
// to the old process.
func (r *Relay) Abandon() { r.end(r.shares()) }

// shares reports whether the maps and links also belong to the process that this one replaces. It returns false if
// that process has maps of another capacity.
func (r *Relay) shares() bool { return r.options.Heir != nil && r.place.maps != nil }

// Close ends the flows of this process. Flows of an earlier process continue for the next one. If there are none of
// these, Close detaches the program from the interfaces and removes the directory's contents.
func (r *Relay) Close() { r.end(false) }

func (r *Relay) end(leave bool) {
	r.life.Lock() // waits for calls in progress
	was := r.closed
	r.closed = true
	r.life.Unlock()
	if was {
		return
	}
	r.watcher.stop()
	leave = leave || r.silent.Load()
	r.reading.Lock()
	defer r.reading.Unlock()
	r.attaching.Lock()
	defer r.attaching.Unlock()
	if !leave {
		for _, c := range r.all() {
			c.mu.Lock()
			_, _ = r.remove(c)
			c.mu.Unlock()
		}
	}
	leave = leave || (r.heir && r.shares()) || len(r.adopted) > 0
	for _, a := range r.attached {
		a.end(r, leave)
	}
	r.steerer.close()
	_ = r.program.Close()
	r.place.close(leave)
	r.routes.close()
}

// all returns the flows of this process.
func (r *Relay) all() []*carried {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.flows))
}
