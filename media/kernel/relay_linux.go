//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const defaultTimeout = 30 * time.Second

// Relay is the program in the kernel with its flows. Its methods may be called from any goroutine.
type Relay struct {
	// Constant.
	options Options
	program programObjects
	place   *place
	routes  *routes
	steerer *steerer
	watcher *watcher

	mu       sync.Mutex                  // guards what follows
	flows    map[netip.AddrPort]*carried // of this process
	slots    []*carried                  // those of flows, by slot; nil: an adopted one, or none
	free     []uint32                    // slots
	lastID   uint64
	adopted  map[netip.AddrPort]*adopted
	ports    map[uint16]int      // that flows of adopted have
	attached map[int]*attachment // by interface
	clsact   bool                // instead of tcx
	closed   bool

	reading sync.Mutex // guards the buffers of Read
	keys    []uint32
	values  []programState
}

var errClosed = fmt.Errorf("%w: the relay is closed", ErrUnfit)

// carried is a flow of this process.
type carried struct {
	Flow
	slot uint32
	id   uint64
	out  outlet
	lost bool // it is not among the program's flows any more
}

// Open loads the program, has it relay known packets, and attaches it to the interfaces of the calling thread's
// network namespace. The error says in a sentence for an operator why the kernel can't relay here.
func Open(o Options) (*Relay, error) {
	if o.Capacity < 1 || o.Capacity > maxCapacity {
		return nil, fmt.Errorf("a capacity of %d flows is not in 1 to %d", o.Capacity, maxCapacity)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	r := &Relay{
		options: o, lastID: uint64(Now()),
		flows: map[netip.AddrPort]*carried{}, adopted: map[netip.AddrPort]*adopted{}, attached: map[int]*attachment{},
		ports: map[uint16]int{}, slots: make([]*carried, o.Capacity+1), clsact: o.clsact,
	}
	if err := r.open(); err != nil {
		r.end(r.place != nil && r.place.maps != nil) // what another process left is not for this one to end
		return nil, err
	}
	return r, nil
}

// Try loads and tests the program as Open does, and attaches it nowhere.
func Try() error {
	r := &Relay{options: Options{Capacity: 1}, place: &place{}, lastID: 1}
	if err := r.load(); err != nil {
		return err
	}
	return errors.Join(r.test(), r.program.Close())
}

// open does Open. What it has made when it fails is ended by end.
func (r *Relay) open() (err error) {
	if r.place, err = openPlace(r.options.Dir, r.options.Capacity); err != nil {
		return err
	}
	if r.routes, err = openRoutes(); err != nil {
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
	if err := r.adopt(); err != nil {
		return err
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

// Now is the time on the clock of all States: CLOCK_MONOTONIC, which the clock of Go's time package is, too.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // it is there since Linux 2.6
	}
	return time.Duration(ts.Nano())
}

// Put begins to carry a flow and takes over its state. From when it returns, the next packet that comes to f.In is
// relayed; what came before waits at the sockets. The error is ErrUnfit with a reason, ErrFull, or that of a system
// call. A flow with the same In must have been removed.
func (r *Relay) Put(f Flow, s State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return errClosed
	case r.flows[f.In] != nil:
		return fmt.Errorf("there is a flow to %v already", f.In)
	case r.adopted[f.In] != nil:
		return fmt.Errorf("%w: a flow of an earlier process still uses %v", ErrUnfit, f.In)
	case len(r.free) == 0:
		return ErrFull
	}
	out, err := r.fits(f)
	if err != nil {
		return err
	}
	r.lastID++
	last := len(r.free) - 1
	c := &carried{Flow: f, slot: r.free[last], id: r.lastID, out: out}
	if err := r.program.States.Update(c.slot, stateOf(&s, c.id, c.value()), ebpf.UpdateLock); err != nil {
		return fmt.Errorf("the state of a flow: %w", err)
	}
	if err := r.program.Flows.Update(keyOf(f.In), c.place(), ebpf.UpdateAny); err != nil {
		if errors.Is(err, unix.E2BIG) {
			return ErrFull
		}
		return fmt.Errorf("a flow: %w", err)
	}
	r.free = r.free[:last]
	r.flows[f.In], r.slots[c.slot] = c, c
	return nil
}

// Change replaces the flow with the same In at once; its state goes on. An error leaves the flow as it was.
func (r *Relay) Change(f Flow) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.flows[f.In]
	if was == nil || was.lost {
		return fmt.Errorf("%w: there is no flow to %v", ErrUnfit, f.In)
	}
	out, err := r.fits(f)
	if err != nil {
		return err
	}
	c := &carried{Flow: f, slot: was.slot, id: was.id, out: out}
	if f.Kind != was.Kind {
		return fmt.Errorf("the flow to %v is of another kind", f.In)
	}
	if err := r.change(c.slot, c.id, c.value()); err != nil {
		return err
	}
	r.flows[f.In], r.slots[c.slot] = c, c
	return nil
}

// Remove ends the flow to our address in. When it returns, no packet is relayed any more, and all that were are in the
// state. It reports whether there was such a flow.
func (r *Relay) Remove(in netip.AddrPort) (s State, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.flows[in]
	if c == nil || r.closed {
		return s, false
	}
	s, ok = r.take(c.slot, c.id)
	if !c.lost {
		_ = r.program.Flows.Delete(keyOf(in)) // its packets go up already
	}
	delete(r.flows, in)
	r.slots[c.slot] = nil
	r.free = append(r.free, c.slot)
	return s, ok
}

// State returns the present state of the flow to in, with one system call.
func (r *Relay) State(in netip.AddrPort) (State, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.flows[in]
	if c == nil || r.closed {
		return State{}, false
	}
	var v programState
	if err := r.program.States.LookupWithFlags(c.slot, &v, ebpf.LookupLock); err != nil {
		return State{}, false
	}
	return *figuresOf(&v), true
}

// readMost is how many states Read gets with a system call.
const readMost = 256

// Read calls the Figures of every flow that this process has put, from few system calls. They may call any method but
// Read, Close and Leave. Of flows that are put or removed meanwhile none may be called, or one that is over.
func (r *Relay) Read() error {
	r.reading.Lock()
	defer r.reading.Unlock()
	if r.keys == nil {
		r.keys, r.values = make([]uint32, readMost), make([]programState, readMost)
	}
	var cursor ebpf.MapBatchCursor
	var figures [readMost]func(*State)
	for first, end := 0, r.used(); first < end; first += readMost {
		n, err := r.program.States.BatchLookup(&cursor, r.keys, r.values, &ebpf.BatchOptions{ElemFlags: uint64(ebpf.LookupLock)})
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("the states of flows: %w", err)
		}
		r.match(r.keys[:n], r.values, figures[:n])
		for i, f := range figures[:n] {
			if f != nil {
				f(figuresOf(&r.values[i]))
			}
		}
		if n < readMost {
			break
		}
	}
	return nil
}

// used returns how far there are flows in the slots.
func (r *Relay) used() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0
	}
	end := len(r.slots)
	for end > 0 && r.slots[end-1] == nil {
		end--
	}
	return end
}

// match finds who wants to know of states.
func (r *Relay) match(slots []uint32, values []programState, figures []func(*State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, slot := range slots {
		figures[i] = nil
		if c := r.slots[slot]; c != nil && c.id == values[i].F.Id {
			figures[i] = c.Figures
		}
	}
}

// Observe counts a packet of the flow to in that went up, as if it had been relayed: it came from the flow's source with
// its SSRC, and the caller relays it or not. Sent counts stay, and so does Discarded. It reports whether there is such
// a flow. Else the caller counts the packet itself. It is one system call.
func (r *Relay) Observe(in netip.AddrPort, h Header) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.flows[in]
	if c == nil || r.closed {
		return false
	}
	verdict, err := r.program.Note.Run(&ebpf.RunOptions{Data: requestOf(c.slot, c.id, rateOf(c.ClockRate), h)})
	return err == nil && verdict == requestDone
}

// change replaces a flow. The program sees the one or the other.
func (r *Relay) change(slot uint32, id uint64, f *programFlow) error {
	verdict, err := r.program.Change.Run(&ebpf.RunOptions{Data: changeOf(slot, id, f)})
	switch {
	case err != nil:
		return fmt.Errorf("a flow: %w", err)
	case verdict != requestDone:
		return errors.New("a flow is gone from the kernel")
	}
	return nil
}

// take ends a flow's part of the program and returns its state.
func (r *Relay) take(slot uint32, id uint64) (State, bool) {
	o := ebpf.RunOptions{Data: requestOf(slot, id, 0, Header{}), DataOut: make([]byte, requestSize)}
	verdict, err := r.program.Take.Run(&o)
	if err != nil || verdict != requestDone {
		return State{}, false
	}
	var s State
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s)), o.DataOut[ethernetLen:])
	return s, true
}

// Local returns our address towards a peer, by the routes. False: there is no route.
func (r *Relay) Local(peer netip.Addr) (netip.Addr, bool) {
	out := r.routes.to(peer.Unmap(), netip.Addr{})
	return out.src, out.err == nil && out.src.IsValid()
}

// Uses reports whether an adopted flow has the port as one of ours. It may not be leased then.
func (r *Relay) Uses(port uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ports[port] > 0 || r.place.uses(port)
}

// Adopted returns how many flows of an earlier process are carried. They are removed once they are silent.
func (r *Relay) Adopted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.adopted) + r.place.elderFlows()
}

// Leave ends the process's part. Flows go on in the kernel for the next process, if there is a directory.
func (r *Relay) Leave() { r.end(r.options.Dir != "") }

// Close ends all flows, takes the program off the interfaces and removes the directory's contents.
func (r *Relay) Close() { r.end(false) }

func (r *Relay) end(leave bool) {
	r.mu.Lock()
	was := r.closed
	r.closed = true
	r.mu.Unlock()
	if was {
		return
	}
	r.watcher.stop()
	r.reading.Lock()
	defer r.reading.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attached {
		a.end(r, leave)
	}
	r.steerer.close()
	_ = r.program.Close()
	r.place.close(r.routes, leave)
	r.routes.close()
}
