package peers

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/store/record"
)

// Entry is a call that is admitted.
type Entry struct {
	ID    string // of the call
	Began time.Time
}

// Held is a place that is held for an INVITE, because an old process has admitted its call.
type Held struct {
	Entry
	Trunk string // the call's trunk, by kind and name
}

// HeldTrunk returns the trunk of an INVITE for which a place is held, or nil. The trunk has shown its credentials to
// the old process, with a nonce that has expired since.
func (a *Admission) HeldTrunk(invite *sip.Request) (*Snapshot, *Trunk) {
	if h := a.heldFor(invite); h != nil {
		p := a.Peers.Load()
		if t, known := p.CallerNamed(h.Trunk); known { // else the INVITE has to show whose it is
			return p, t
		}
	}
	return nil, nil
}

// Admit is Enter for the call of an INVITE. If a place is held for it, the call gets that, even beyond the limits,
// unless the server drains.
func (a *Admission) Admit(t *Trunk, invite *sip.Request) (Entry, Capacity) {
	h := a.heldFor(invite)
	if h == nil {
		return Entry{ID: record.NewID(), Began: time.Now()}, a.Enter(t)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining {
		return h.Entry, CapacityDraining
	}
	t.calls++
	a.setups.add(&t.setups, 1)
	a.ports.add(&t.ports, 1)
	return h.Entry, CapacityFree
}

func (a *Admission) heldFor(invite *sip.Request) *Held {
	if a.Held == nil {
		return nil
	}
	return a.Held(invite)
}
