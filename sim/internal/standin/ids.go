package standin

import (
	"sync"

	"flowbridge/sim"
)

// GivenIDs remembers one id of each sort, for the fault that gives it again.
type GivenIDs struct {
	mu    sync.Mutex
	first map[string]string // by sort
}

// Told is an id as an answer has it: the id, or what the fault makes of it. The
// sort is what it is an id of.
func (g *GivenIDs) Told(f sim.Fault, sort, id string) any {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first == nil {
		g.first = map[string]string{}
	}
	if g.first[sort] == "" {
		g.first[sort] = id
	}
	switch f.Kind {
	case sim.FaultTypes:
		return 4711
	case sim.FaultReused:
		return g.first[sort]
	case sim.FaultCRLF:
		return id + "\r\nX-Injected: yes"
	case sim.FaultEmptyID:
		return ""
	default:
		return id
	}
}
