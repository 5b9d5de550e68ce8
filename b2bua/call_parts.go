package b2bua

import (
	"time"

	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/store/record"
)

// part is one concern of a call, with its state between turns. Each part embeds idle, and implements the methods that
// it needs.
type part interface {
	of(c *Call) // sets the call; called once, before all others

	// on handles a fact or an event if it concerns the part, and returns the next phase. nil means the same phase.
	on(h happening) (next phase, mine bool)
	// deadline returns the time at which due is called, or zero. After a crash it may be as old as the last checkpoint.
	deadline() time.Time
	due(now time.Time)

	// busy returns why the call can't be handed over, or nil if it can.
	busy() error
	save(k *snapshot.Sheet)
	// restore restores the part from a saved call and its record, before the call's first turn.
	restore(k *snapshot.Call, r *record.Record) error
	// begin returns the first turn of a call that was restored. It returns the next phase if the part decides about that,
	// or nil.
	begin(v *restoring) phase
	// connected tells the part that the caller has an agent, or still has it after a restart.
	connected()

	// end ends the part before the call's record is made. release is called when the record is handed over.
	end()
	release()

	// show adds values to a live call's description that its record does not have.
	show(l *registry.LiveCall)
}

// parts holds the parts of a call.
type parts struct {
	queue        queue
	identity     identity
	trial        trial
	customer     customer
	replacements replacements
	transfers    transfers
	rescues      rescues
	checkpoint   checkpoint
	orders       orders
}

// all returns the parts in the order in which they get facts and events.
func (p *parts) all() [9]part {
	return [...]part{
		&p.queue, &p.identity, &p.trial, &p.customer, &p.replacements, &p.transfers, &p.rescues, &p.checkpoint, &p.orders,
	}
}

// idle is a part that does nothing.
type idle struct{ call *Call }

func (i *idle) of(c *Call)                                { i.call = c }
func (idle) on(happening) (phase, bool)                   { return nil, false }
func (idle) deadline() time.Time                          { return time.Time{} }
func (idle) due(time.Time)                                {}
func (idle) busy() error                                  { return nil }
func (idle) save(*snapshot.Sheet)                         {}
func (idle) restore(*snapshot.Call, *record.Record) error { return nil }
func (idle) begin(*restoring) phase                       { return nil }
func (idle) connected()                                   {}
func (idle) end()                                         {}
func (idle) release()                                     {}
func (idle) show(*registry.LiveCall)                      {}

// give passes a fact or an event to the part that handles it. It returns false if no part does, so the call must.
func (c *Call) give(h happening) (next phase, taken bool) {
	for _, p := range c.all() {
		next, taken = p.on(h)
		if taken {
			break
		}
	}
	return next, taken
}

// hasAgent tells the parts that an agent is connected, also after a restart.
func (c *Call) hasAgent() {
	for _, p := range c.all() {
		p.connected()
	}
}

// isDue reports whether a deadline has passed.
func isDue(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
