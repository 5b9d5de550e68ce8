//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// layout is the version of the maps' contents. Increment it when struct key, place, flow, figures, speech or state of
// the program changes.
const layout = 5

// place is where the maps and links of an instance are pinned: a directory with one subdirectory for each layout and
// capacity. Without a directory all its methods do nothing.
type place struct {
	root *os.File             // the locked directory; nil if there is none
	dir  string               // the subdirectory for this layout and capacity
	maps map[string]*ebpf.Map // maps that were pinned in dir; may be nil
}

// Waiting for a directory that another process holds.
const (
	lockTries = 20
	lockPause = 10 * time.Millisecond
)

// openPlace opens and locks the directory of an instance.
func openPlace(o *Options) (*place, error) {
	dir := o.Dir
	if dir == "" {
		return &place{}, nil
	}
	if err := inBPF(dir); err != nil {
		return nil, err
	}
	if o.Heir != nil {
		return takePlace(o)
	}
	root, err := makeDir(dir)
	for tries := 0; (errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, errGone)) && tries < lockTries; tries++ {
		time.Sleep(lockPause) // RemoveLeftovers holds the directory only briefly
		root, err = makeDir(dir)
	}
	if errors.Is(err, os.ErrPermission) && o.OldDir != "" {
		if old, failed := takeDir(o.OldDir); failed == nil {
			root, dir, err = old, o.OldDir, nil
		}
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, fmt.Errorf("another process uses %s", dir)
	case err != nil:
		return nil, fmt.Errorf("the directory for what outlives the process: %w", err)
	}
	return newPlace(dir, o.Capacity, root), nil
}

func newPlace(dir string, capacity int, root *os.File) *place {
	p := &place{root: root, dir: filepath.Join(dir, fmt.Sprintf("v%d-%d", layout, capacity))}
	p.findMaps()
	return p
}

// takePlace uses the directory of the process that this one replaces. The lock belongs to the open file, which both
// processes share.
func takePlace(o *Options) (*place, error) {
	for _, dir := range []string{o.Dir, o.OldDir} {
		if is, err := os.Stat(dir); err == nil && isDir(o.Heir, is) {
			return newPlace(dir, o.Capacity, o.Heir), nil
		}
	}
	_ = o.Heir.Close()
	return nil, fmt.Errorf("%s is not the directory of the process that is to be replaced", o.Dir)
}

// CheckDir returns the reason why the flows of a process of this user could not outlive it in either directory, or nil
// if they could.
func CheckDir(dir, old string) error {
	err := checkDir(dir)
	if errors.Is(err, os.ErrPermission) && checkDir(old) == nil {
		return nil
	}
	return err
}

func checkDir(dir string) error {
	if err := inBPF(dir); err != nil {
		return err
	}
	err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK)
	if root, err := os.Open(dir); err == nil {
		defer func() { _ = root.Close() }()
		if err := ownDir(root); err != nil {
			return err
		}
	}
	if errors.Is(err, unix.ENOENT) {
		dir = filepath.Dir(dir)
		err = unix.Access(dir, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("%s can't be written by this user: %w", dir, err)
	}
	return nil
}

// makeDir opens and locks a directory, creating it if it is missing.
func makeDir(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return takeDir(dir)
}

// inBPF checks that a directory is, or would be, in a BPF file system.
func inBPF(dir string) error {
	at := dir
	if _, err := os.Stat(at); err != nil {
		at = filepath.Dir(dir)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if fs.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("%s is not in a BPF file system", at)
	}
	if strings.Contains(filepath.Base(dir), ".") {
		return fmt.Errorf("%s: names in a BPF file system have no dots", dir)
	}
	return nil
}

// findMaps opens the maps of the old process, if they all exist.
func (p *place) findMaps() {
	maps := map[string]*ebpf.Map{}
	for _, name := range []string{programMapFlows, programMapStates} {
		m, err := ebpf.LoadPinnedMap(filepath.Join(p.dir, name), nil)
		if err != nil {
			closeAll(maps)
			return
		}
		maps[name] = m
	}
	p.maps = maps
}

func closeAll(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		_ = m.Close()
	}
}

// pin makes the maps outlive the process.
func (p *place) pin(program *programObjects) error {
	if p.root == nil || p.maps != nil {
		return nil
	}
	clearPins(p.dir) // started by a process that died while it pinned the maps
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return fmt.Errorf("the directory for what outlives the process: %w", err)
	}
	for name, m := range map[string]*ebpf.Map{programMapFlows: program.Flows, programMapStates: program.States} {
		if err := m.Pin(filepath.Join(p.dir, name)); err != nil {
			return fmt.Errorf("what outlives the process: %w", err)
		}
	}
	return nil
}

// clearPins removes a directory of pins, together with the maps and links that only these pins hold. It detaches links
// first, because the kernel ends unreferenced links only some time later.
func clearPins(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		pin := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), linkPrefix) {
			detachPinned(pin)
		}
		_ = os.Remove(pin)
	}
	_ = os.Remove(dir)
}

// close releases the directory. If leave is set, the pins stay for the next process; otherwise they are removed.
func (p *place) close(leave bool) {
	if p == nil || p.root == nil {
		return
	}
	closeAll(p.maps)
	if !leave {
		clearPins(p.dir)
		_ = os.Remove(filepath.Dir(p.dir)) // fails if there are other entries
	}
	_ = p.root.Close()
}

// removeOthers ends the flows of processes with another layout or capacity, whose maps this process can't read.
func (p *place) removeOthers(h *netlink.Handle) {
	if p.root != nil {
		removeOthers(h, filepath.Dir(p.dir), p.dir)
	}
}

// load loads the program. If the old process left maps, the program uses them.
func (r *Relay) load() error {
	_ = rlimit.RemoveMemlock() // needed before Linux 5.11; if it fails there, loading fails, too
	var rejected *ebpf.VerifierError
	r.listens = Slow() == nil
	err := r.loadAs(r.listens)
	if r.listens && errors.As(err, &rejected) { // an older verifier allows fewer steps
		r.listens = false
		err = r.loadAs(false)
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("the process may not load programs into the kernel: it needs CAP_BPF and CAP_NET_ADMIN, and before Linux 5.11 an unlimited RLIMIT_MEMLOCK (LimitMEMLOCK=infinity, ulimit -l unlimited), and in a container a seccomp profile that allows bpf: %w", err)
	case errors.As(err, &rejected):
		return fmt.Errorf("this kernel does not take the program; Linux 5.10 is the oldest that does: %w", err)
	case err != nil:
		return fmt.Errorf("the program: %w", err)
	}
	return nil
}

// loadAs loads the program with or without the part that listens.
func (r *Relay) loadAs(listens bool) error {
	spec, err := r.spec(listens)
	if err != nil {
		return err
	}
	if err := spec.LoadAndAssign(&r.program, &ebpf.CollectionOptions{MapReplacements: r.place.maps}); err != nil {
		return err
	}
	r.hints, err = r.program.Hints.Memory()
	return err
}

func (r *Relay) spec(listens bool) (*ebpf.CollectionSpec, error) {
	spec, err := loadProgram()
	if err != nil {
		return nil, err
	}
	if listens {
		if err := spec.Variables["listens"].Set(uint32(1)); err != nil {
			return nil, err
		}
	}
	spec.Maps[programMapFlows].MaxEntries = uint32(r.options.Capacity) + 1
	spec.Maps[programMapStates].MaxEntries = uint32(r.options.Capacity) + 1
	// A kernel rejects type information for a map of sockets. Before rejecting it, the kernel waits for an RCU grace
	// period, behind the grace periods of ending network namespaces. So don't pass any.
	spec.Maps[programMapSockets].Key, spec.Maps[programMapSockets].Value = nil, nil
	return spec, nil
}

// adopted is a flow of an earlier process. Its call is not known.
type adopted struct {
	in, out netip.AddrPort
	slot    uint32
	id      uint64
	since   time.Duration // when it was adopted

	mu    sync.Mutex // guards the fields below, and the flow in the kernel, also during system calls
	value programFlow
	gone  bool // the flow has been removed, or has become a flow of this process

	last time.Duration // when a packet last came, or when the flow was adopted; owned by the watcher
}

// adopt takes over the flows of an earlier process, and finds the free slots.
func (r *Relay) adopt() error {
	_ = r.program.Flows.Delete(keyOf(testFlows()[0].In)) // left by a process that died in its test
	_ = r.program.Flows.Delete(keyOf(testFlows()[1].In))
	used := map[uint32]bool{}
	var key programKey
	var at programPlace
	var all []*adopted
	var halves []netip.AddrPort // left by a process that died while it was starting or ending a flow
	flows := r.program.Flows.Iterate()
	for flows.Next(&key, &at) {
		var v programState
		in := addrPort(key.Ip, key.Port)
		err := r.program.States.LookupWithFlags(at.Slot, &v, ebpf.LookupLock)
		if err != nil || v.F.Id == 0 || used[at.Slot] || addrPort(v.Flow.In, v.Flow.InPort) != in {
			halves = append(halves, in)
			continue
		}
		used[at.Slot] = true
		r.hint(in, at.Slot)
		all = append(all, &adopted{
			in: in, out: addrPort(v.Flow.From, v.Flow.FromPort), slot: at.Slot, id: v.F.Id,
			value: v.Flow, since: Now(), last: Now(),
		})
	}
	if err := flows.Err(); err != nil {
		return fmt.Errorf("the flows of the process before: %w", err)
	}
	for _, in := range halves {
		_ = r.program.Flows.Delete(keyOf(in))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range all {
		r.adopted[a.in] = a
		r.count(a, 1)
		r.lastID = max(r.lastID, a.id)
	}
	for slot := uint32(r.options.Capacity); slot > testSlot; slot-- {
		if !used[slot] {
			r.free = append(r.free, slot)
		}
	}
	return nil
}

// count adds by to the number of uses of each of an adopted flow's ports.
func (r *Relay) count(a *adopted, by int) {
	for _, port := range []uint16{a.in.Port(), a.out.Port()} {
		r.ports[port] += by
		if r.ports[port] == 0 {
			delete(r.ports, port)
		}
	}
}

// orphans returns all adopted flows.
func (r *Relay) orphans() []*adopted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.adopted))
}

// reap removes adopted flows that are silent in both directions, or too old.
func (r *Relay) reap(now time.Duration) {
	all := r.orphans()
	by := make(map[netip.AddrPort]*adopted, len(all))
	for _, a := range all {
		by[a.in] = a
		var v programState
		if err := r.program.States.LookupWithFlags(a.slot, &v, ebpf.LookupLock); err == nil {
			a.last = max(a.last, figuresOf(&v, now).Last)
		}
	}
	for _, a := range all {
		last := a.last
		if back := by[a.out]; back != nil && back.out == a.in {
			last = max(last, back.last)
		}
		if now-last >= r.options.Timeout || now-a.since >= r.options.MaxAge {
			_, _ = r.drop(a)
		}
	}
}

// drop ends an adopted flow.
func (r *Relay) drop(a *adopted) (s State, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return s, false
	}
	a.gone = true
	s, ok = r.take(a.slot, a.id, a.value.Flags&flagListens != 0)
	_ = r.program.Flows.Delete(keyOf(a.in))
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.adopted, a.in)
	r.count(a, -1)
	r.free = append(r.free, a.slot)
	return s, ok
}
