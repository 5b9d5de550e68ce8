//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"os"
	"path/filepath"
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
}

// elderEvery is how often elders are looked at: it takes a system call for each of their states.
const elderEvery = 2 * time.Second

func (p *place) findElders(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if sub := filepath.Join(dir, entry.Name()); sub != p.dir {
			p.elders = append(p.elders, openElder(sub))
		}
	}
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

// last returns when the last packet of an elder's flows came.
func (e *elder) last() time.Duration {
	last := e.since
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

// reap ends the programs of elders that are silent.
func (p *place) reap(w *routes, now, timeout time.Duration) {
	still := p.elders[:0]
	for _, e := range p.elders {
		if now-e.looked < elderEvery {
			still = append(still, e)
			continue
		}
		e.looked = now
		if e.flows > 0 && now-e.last() < timeout {
			still = append(still, e)
			continue
		}
		e.close()
		e.remove(w)
	}
	p.elders = still
}

// uses reports whether a flow of an elder has the port.
func (p *place) uses(port uint16) bool {
	for _, e := range p.elders {
		if e.ports[port] {
			return true
		}
	}
	return false
}

func (p *place) elderFlows() (n int) {
	for _, e := range p.elders {
		n += e.flows
	}
	return n
}
