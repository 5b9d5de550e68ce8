package sim

import (
	"maps"
	"sync"
)

// givenIDs remembers one id of each sort, for the fault that gives it again.
type givenIDs struct {
	mu   sync.Mutex
	last map[string]string // by sort
}

// again is the id of this sort that was given before; without one, this one.
func (g *givenIDs) again(sort, id string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last == nil {
		g.last = map[string]string{}
	}
	if g.last[sort] == "" {
		g.last[sort] = id
	}
	return g.last[sort]
}

// told is an id as an answer has it: the id, or what the fault makes of it. The
// sort is what it is an id of.
func (g *givenIDs) told(f Fault, sort, id string) any {
	before := g.again(sort, id)
	switch f.Kind {
	case FaultTypes:
		return 4711
	case FaultReused:
		return before
	case FaultCRLF:
		return id + "\r\nX-Injected: yes"
	case FaultEmptyID:
		return ""
	default:
		return id
	}
}

func (s *Synthflow) told(sort, id string) any { return s.given.told(s.Fault(), sort, id) }

// told is an object as an answer has it. The sort is what it is one of.
func (v *Vapi) told(sort string, object map[string]any) map[string]any {
	id, _ := object["id"].(string)
	out := maps.Clone(object)
	out["id"] = v.given.told(v.Fault(), sort, id)
	return out
}
