//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Silence stops the program from relaying any flow, and leaves nothing that outlives the process. It ends the flows of
// this process, of an earlier process, of another layout, and of a process that has inherited them. It detaches the
// program from the interfaces and removes the pins and the directory. When it returns, another process can take the
// directory. After Silence, the process should end or execute another program. Until then packets arrive at its
// sockets, so the caller must stop reading them first.
//
// Silence does not wait for other users of the relay, only for a Close or Leave in progress; after one of these it does
// nothing. Unread figures are lost. All other methods then find the relay closed, and Close removes nothing. The error
// says what could not be removed.
func (r *Relay) Silence() error {
	if !r.enter() {
		return nil
	}
	defer r.leave()
	if r.silent.Swap(true) {
		return nil
	}
	// Empty the slots first, because detaching takes 8 to 16 ms for each interface, under the lock of all network changes.
	errs := []error{r.emptySlots()}
	r.attaching.Lock()
	defer r.attaching.Unlock()
	for _, a := range r.attached {
		errs = append(errs, a.detach(r))
	}
	clear(r.attached)
	errs = append(errs, r.place.empty(r.routes.Handle))
	return errors.Join(errs...)
}

// empty removes everything in the directory, and releases the directory.
func (p *place) empty(h *netlink.Handle) error {
	if p.root == nil {
		return nil
	}
	defer p.root.Close()
	clearPins(p.dir)
	p.removeOthers(h)
	dir := filepath.Dir(p.dir)
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		return fmt.Errorf("%s can't be removed from %s", left[0].Name(), dir)
	}
	_ = os.Remove(dir) // fails if the parent belongs to another user; then the next process uses the directory
	return nil
}

// emptySlots ends all flows by emptying their slots. Packets then go up, as after a flow was taken.
func (r *Relay) emptySlots() error {
	slots, empty := make([]uint32, readMost), make([]programState, readMost)
	for first := 0; first <= r.options.Capacity; first += readMost {
		n := min(readMost, r.options.Capacity+1-first)
		for i := range n {
			slots[i] = uint32(first + i)
		}
		_, err := r.program.States.BatchUpdate(slots[:n], empty[:n],
			&ebpf.BatchOptions{ElemFlags: uint64(ebpf.UpdateLock)})
		if err != nil {
			return fmt.Errorf("the states of flows: %w", err)
		}
	}
	return nil
}

// detach detaches the program from the interface at once, even if another process also has the link.
func (a *attachment) detach(r *Relay) error {
	if a.tc != nil {
		err := r.routes.FilterDel(a.tc)
		if errors.Is(err, unix.ENODEV) {
			return nil // the interface is gone
		}
		return err
	}
	_ = a.link.Unpin() // fails if the link was not pinned
	return errors.Join(a.link.Detach(), a.link.Close())
}
