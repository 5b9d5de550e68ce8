//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
)

// elder is what a process left whose maps had another layout or capacity. Its program goes on beside ours, which does
// not know its flows, until they are silent. Of its maps only this is known: keys of flows begin with our address, 16
// bytes, and port; the second 8 bytes of states are the time when the last packet came.
type elder struct {
	dir    string
	states *ebpf.Map
	ports  map[uint16]bool
	flows  int
	looked time.Duration
	since  time.Duration

	dismissed atomic.Bool
}

// elderEvery is how often elders are looked at: it takes a system call for each of their states.
const elderEvery = 2 * time.Second

// findElders looks for what processes before have left.
func (p *place) findElders() {
	if p.root == nil {
		return
	}
	all := eldersIn(filepath.Dir(p.dir), p.dir)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.elders = all
}

// openElder reads what an elder left. What can't be read has no flows.
func openElder(dir string) *elder {
	e := &elder{dir: dir, ports: map[uint16]bool{}, since: Now()}
	flows, err := ebpf.LoadPinnedMap(filepath.Join(dir, programMapFlows), nil)
	if err != nil {
		return e
	}
	defer flows.Close()
	key, value := make([]byte, flows.KeySize()), make([]byte, flows.ValueSize())
	for it := flows.Iterate(); it.Next(&key, &value); {
		if len(key) >= 18 {
			e.ports[uint16(key[16])<<8|uint16(key[17])] = true
			e.flows++
		}
	}
	e.states, _ = ebpf.LoadPinnedMap(filepath.Join(dir, programMapStates), nil)
	return e
}

// last returns when the last packet of an elder's flows came, or when it was found.
func (e *elder) last() time.Duration { return max(e.since, e.heard()) }

// heard returns when the last packet of an elder's flows came.
func (e *elder) heard() (last time.Duration) {
	if e.states == nil {
		return 0
	}
	value := make([]byte, e.states.ValueSize())
	for slot := range e.states.MaxEntries() {
		if err := e.states.Lookup(slot, &value); err != nil {
			if errors.Is(err, ebpf.ErrKeyNotExist) {
				continue
			}
			break
		}
		if len(value) >= 16 {
			last = max(last, time.Duration(native.Uint64(value[8:])))
		}
	}
	return last
}

func (e *elder) close() {
	if e.states != nil {
		_ = e.states.Close()
	}
}

// remove ends the program of an elder, and its flows.
func (e *elder) remove(w *routes) {
	clearPins(e.dir)
	if w != nil {
		removeFilters(w, e.dir)
	}
}

// reap ends the programs of elders that are silent, or too old.
func (p *place) reap(w *routes, now, timeout, maxAge time.Duration) {
	p.mu.Lock()
	all := slices.Clone(p.elders)
	p.mu.Unlock()
	still := all[:0]
	for _, e := range all {
		if e.carries(now, timeout, maxAge) {
			still = append(still, e)
			continue
		}
		e.close()
		e.remove(w)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.elders = still
}

// dismiss has the watcher end the programs of all elders.
func (p *place) dismiss() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.elders {
		e.dismissed.Store(true)
	}
}

// carries reports whether an elder's flows have been heard lately, as far as it has been looked at.
func (e *elder) carries(now, timeout, maxAge time.Duration) bool {
	if e.dismissed.Load() {
		return false
	}
	if now-e.looked < elderEvery {
		return true
	}
	e.looked = now
	return e.flows > 0 && e.states != nil && now-e.last() < timeout && now-e.since < maxAge
}

// uses reports whether a flow of an elder has the port.
func (p *place) uses(port uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.elders, func(e *elder) bool { return e.ports[port] })
}

func (p *place) elderFlows() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.elders {
		n += e.flows
	}
	return n
}
