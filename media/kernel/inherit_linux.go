//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"fmt"
	"net/netip"
	"os"
)

// Directory returns the directory to pass as Options.Heir to the process that replaces this one. The relay still owns
// the file. Directory returns nil if flows do not outlive the process.
func (r *Relay) Directory() *os.File { return r.place.root }

// Inherit adopts the flows of the process that this one replaces. By then the old process must no longer put or change
// flows.
func (r *Relay) Inherit() error {
	if !r.enter() {
		return errClosed
	}
	defer r.leave()
	r.mu.Lock()
	was := r.heir
	r.heir = false
	r.mu.Unlock()
	if !was {
		return nil
	}
	return r.adopt()
}

// Inherited returns the adopted flow to our address in. The flow's Lost and Figures are nil.
func (r *Relay) Inherited(in netip.AddrPort) (Flow, bool) {
	r.mu.Lock()
	a := r.adopted[in]
	r.mu.Unlock()
	if a == nil {
		return Flow{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.value.flow(), !a.gone
}

// Adopt makes the adopted flow to f.In a flow of this process, as if this process had put it. The flow becomes f and
// keeps its state, which Adopt returns. On an error it stays adopted. Adopt may wait for routes.
func (r *Relay) Adopt(f Flow) (State, error) {
	if !r.enter() {
		return State{}, errClosed
	}
	defer r.leave()
	out, err := r.fits(f, r.routes.to)
	if err != nil {
		return State{}, err
	}
	r.mu.Lock()
	a := r.adopted[f.In]
	r.mu.Unlock()
	if a == nil {
		return State{}, fmt.Errorf("%w: no flow to %v is adopted", ErrUnfit, f.In)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return State{}, fmt.Errorf("%w: the flow to %v was silent", ErrUnfit, f.In)
	}
	c := &carried{in: f.In, slot: a.slot, id: a.id, figures: f.Figures, flow: f, out: out}
	if v := c.value(); *v != a.value {
		if err := r.change(c.slot, c.id, v); err != nil {
			return State{}, err
		}
	}
	at := Now()
	v, err := r.stateIn(c.slot)
	if err != nil {
		return State{}, err
	}
	a.gone = true
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.adopted, a.in)
	r.count(a, -1)
	r.flows[c.in], r.slots[c.slot] = c, c
	return figuresOf(v, at), nil
}

// Dismiss ends the adopted flow to our address in, and returns its state.
func (r *Relay) Dismiss(in netip.AddrPort) (State, bool) {
	if !r.enter() {
		return State{}, false
	}
	defer r.leave()
	r.mu.Lock()
	a := r.adopted[in]
	r.mu.Unlock()
	if a == nil {
		return State{}, false
	}
	return r.drop(a)
}

// DismissAll ends all adopted flows, because their calls are gone. Flows of another layout or capacity end with their
// program; the RTP of their calls then passes through the process.
func (r *Relay) DismissAll() {
	if !r.enter() {
		return
	}
	defer r.leave()
	for _, a := range r.orphans() {
		r.drop(a)
	}
	r.attaching.Lock()
	defer r.attaching.Unlock()
	if !r.silent.Load() {
		r.place.removeOthers(r.routes.Handle)
	}
}

// flow returns a flow of an earlier process, with the values that were put.
func (v *programFlow) flow() Flow {
	f := Flow{
		In: addrPort(v.In, v.InPort), Source: addrPort(v.Src, v.SrcPort),
		Out: addrPort(v.From, v.FromPort), Dest: addrPort(v.To, v.ToPort),
		DSCP: v.Tos >> 2, SSRC: network32(v.Ssrc), ClockRate: v.Rate, Up: v.Up,
		Rewrite: Rewrite{SSRC: network32(v.NewSsrc), TimeOffset: v.TimeOffset, SeqOffset: v.SeqOffset},
	}
	if v.Flags&flagRTCP != 0 {
		f.Kind = RTCP
	}
	f.Listen = v.Flags&flagListens != 0
	if f.Listen {
		f.Events = v.Events
	}
	for i, c := range v.Changes {
		f.Rewrite.Payload[i] = PayloadChange{From: uint8(c), To: uint8(c >> 8), Drop: c>>16 != 0} // single bytes of c
	}
	return f
}
