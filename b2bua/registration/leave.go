package registration

import (
	"time"

	"github.com/emiago/sipgo/sip"
)

// leave starts to remove the binding, if there is one, and ends the registration.
func (m *Machine) leave(now time.Time) {
	if m.leaving {
		return
	}
	m.leaving = true
	m.renewAt, m.keepAt = time.Time{}, time.Time{}
	switch {
	case m.asking == sip.REGISTER:
		// Only one REGISTER may be in progress (RFC 3261 section 10.2). The binding is removed when that one is answered, or
		// at giveUpAt.
	case m.status.Until.IsZero():
		m.left(now)
	case !m.ready:
		m.try(now)
	default:
		m.remove(now)
	}
}

// remove sends a REGISTER that removes the binding, over the existing connection or to the same address.
func (m *Machine) remove(now time.Time) {
	m.challenged, m.intervals = 0, 0
	m.register(now)
}

func (m *Machine) left(now time.Time) {
	m.giveUpAt, m.renewAt, m.keepAt, m.asking = time.Time{}, time.Time{}, time.Time{}, ""
	m.status.Until, m.status.Next = time.Time{}, time.Time{}
	m.become(now, Left)
}
