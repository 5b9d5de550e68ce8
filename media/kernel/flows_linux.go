//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// carried is a flow that this process has given to the program.
type carried struct {
	// Constant.
	in      netip.AddrPort
	slot    uint32
	id      uint64
	figures func(*State)

	mu   sync.Mutex // guards the fields below, and the flow in the kernel, also during system calls
	flow Flow
	out  outlet
	lost bool // removed from the program's map flows
	over bool // removed altogether
}

// Look looks up the route by which packets of a flow leave, so that Put knows it. If one of our addresses is invalid,
// Look also finds the route for Local. It may wait for the kernel.
func (r *Relay) Look(f Flow) {
	if r.enter() {
		defer r.leave()
		r.routes.to(f.Source.Addr(), f.In.Addr())
		r.routes.to(f.Dest.Addr(), f.Out.Addr())
	}
}

// Put starts to carry a flow and takes over its state. When it returns, the next packet to f.In is relayed; earlier
// packets wait in the sockets. The error is ErrUnfit with a reason, ErrUnknown, ErrFull, or the error of a system call.
// An earlier flow with the same In must have been removed. Put does not wait for routes.
func (r *Relay) Put(f Flow, s State) error {
	if !r.enter() {
		return errClosed
	}
	defer r.leave()
	c, err := r.reserve(f)
	if err != nil {
		return err
	}
	defer c.mu.Unlock()
	if err := r.put(c, &s); err != nil {
		r.forget(c)
		return err
	}
	return nil
}

// reserve allots a slot to a flow and returns the flow with its mu held.
func (r *Relay) reserve(f Flow) (*carried, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.flows[f.In] != nil:
		return nil, fmt.Errorf("there is a flow to %v already", f.In)
	case r.adopted[f.In] != nil:
		return nil, fmt.Errorf("%w: a flow of an earlier process still uses %v", ErrUnfit, f.In)
	case len(r.free) == 0:
		return nil, ErrFull
	}
	r.lastID++
	last := len(r.free) - 1
	c := &carried{in: f.In, slot: r.free[last], id: r.lastID, figures: f.Figures, flow: f}
	r.free = r.free[:last]
	c.mu.Lock() // cannot block, because no other goroutine has c yet
	r.flows[c.in], r.slots[c.slot] = c, c
	return c, nil
}

// put adds a flow to the kernel. The caller must hold c.mu, so that a concurrent change of routes is not missed.
func (r *Relay) put(c *carried, s *State) (err error) {
	if c.out, err = r.fits(c.flow, r.routes.known); err != nil {
		return err
	}
	if err := r.program.States.Update(c.slot, stateOf(s, c.id, c.value()), ebpf.UpdateLock); err != nil {
		return fmt.Errorf("the state of a flow: %w", err)
	}
	if err := r.program.Flows.Update(keyOf(c.in), c.place(), ebpf.UpdateAny); err != nil {
		if errors.Is(err, unix.E2BIG) {
			return ErrFull
		}
		return fmt.Errorf("a flow: %w", err)
	}
	r.hint(c.in, c.slot)
	return nil
}

// hint records the slot of the flow to in if in has an even port, as RTP has. A flow works without a hint, and a wrong
// hint does no harm.
func (r *Relay) hint(in netip.AddrPort, slot uint32) {
	if in.Port()%2 == 0 {
		// Fits, because it is at most maxCapacity.
		_, _ = r.hints.WriteAt(native.AppendUint16(nil, uint16(slot)), int64(in.Port()))
	}
}

// forget frees the slot of a flow. The caller holds its mu.
func (r *Relay) forget(c *carried) {
	c.over = true
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flows, c.in)
	r.slots[c.slot] = nil
	r.free = append(r.free, c.slot)
}

// find returns the flow to in with its mu held, or nil.
func (r *Relay) find(in netip.AddrPort) *carried {
	r.mu.Lock()
	c := r.flows[in]
	r.mu.Unlock()
	if c == nil {
		return nil
	}
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return nil
	}
	return c
}

// Remove ends the flow to our address in. When it returns, no more packets are relayed, and all relayed ones are in the
// state. It reports whether there was such a flow.
func (r *Relay) Remove(in netip.AddrPort) (s State, ok bool) {
	if !r.enter() {
		return s, false
	}
	defer r.leave()
	c := r.find(in)
	if c == nil {
		return s, false
	}
	defer c.mu.Unlock()
	return r.remove(c)
}

// remove ends a flow. The caller holds its mu.
func (r *Relay) remove(c *carried) (s State, ok bool) {
	s, ok = r.take(c.slot, c.id, c.flow.Listen)
	if !c.lost {
		_ = r.program.Flows.Delete(keyOf(c.in)) // if this fails, the flow's packets go up all the same
	}
	r.forget(c)
	return s, ok
}

// State returns the current state of the flow to in, with one system call.
func (r *Relay) State(in netip.AddrPort) (State, bool) {
	if !r.enter() {
		return State{}, false
	}
	defer r.leave()
	c := r.find(in)
	if c == nil {
		return State{}, false
	}
	defer c.mu.Unlock()
	at := Now()
	v, err := r.stateIn(c.slot)
	if err != nil {
		return State{}, false
	}
	return figuresOf(v, at), true
}

// stateIn returns the current value of a slot.
func (r *Relay) stateIn(slot uint32) (*programState, error) {
	var v programState
	if err := r.program.States.LookupWithFlags(slot, &v, ebpf.LookupLock); err != nil {
		return nil, fmt.Errorf("the state of a flow: %w", err)
	}
	return &v, nil
}

// readMost is how many states Read gets with one system call.
const readMost = 256

// Read calls the Figures of every flow that this process has put. It uses few system calls. Figures may call any method
// except Read, Close and Leave, and must not retain the State. If a flow is put or removed during Read, its Figures may
// not be called, or may be called after the flow has ended.
func (r *Relay) Read() error {
	r.reading.Lock()
	defer r.reading.Unlock()
	if r.keys == nil {
		r.keys, r.values = make([]uint32, readMost), make([]programState, readMost)
	}
	var cursor ebpf.MapBatchCursor
	var figures [readMost]func(*State)
	var s State // one for all calls, because it escapes
	for first, end := 0, r.used(); first < end; first += readMost {
		at := Now()
		n, err := r.readSome(&cursor, &figures)
		if err != nil {
			return err
		}
		for i, f := range figures[:n] {
			if f != nil {
				s = figuresOf(&r.values[i], at)
				f(&s)
			}
		}
		if n < readMost {
			break
		}
	}
	return nil
}

// readSome reads the next states and finds their Figures functions.
func (r *Relay) readSome(cursor *ebpf.MapBatchCursor, figures *[readMost]func(*State)) (int, error) {
	if !r.enter() {
		return 0, errClosed
	}
	defer r.leave()
	n, err := r.program.States.BatchLookup(cursor, r.keys, r.values,
		&ebpf.BatchOptions{ElemFlags: uint64(ebpf.LookupLock)})
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, fmt.Errorf("the states of flows: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, slot := range r.keys[:n] {
		figures[i] = nil
		if c := r.slots[slot]; c != nil && c.id == r.values[i].F.Id {
			figures[i] = c.figures
		}
	}
	return n, nil
}

// used returns one more than the highest slot in use.
func (r *Relay) used() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := len(r.slots)
	for end > 0 && r.slots[end-1] == nil {
		end--
	}
	return end
}

// change replaces a flow. The program sees either the old or the new one.
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

// take ends a flow in the program and returns its state. After that the program leaves the slot alone.
func (r *Relay) take(slot uint32, id uint64, listens bool) (State, bool) {
	s := State{At: Now()}
	o := ebpf.RunOptions{Data: requestOf(slot, id), DataOut: make([]byte, requestSize)}
	verdict, err := r.program.Take.Run(&o)
	if err != nil || verdict != requestDone {
		return State{}, false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(programFigures{})), o.DataOut[ethernetLen:])
	if listens {
		if v, err := r.stateIn(slot); err == nil {
			s.Speech = figuresOf(v, s.At).Speech
		}
	}
	return s, true
}
