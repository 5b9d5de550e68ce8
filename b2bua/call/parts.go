package call

import (
	"time"

	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/store/record"
)

// part is one concern of a call, with its state. Each part embeds idle, and implements the methods that it needs.
type part interface {
	of(c *Call) // sets the part's call; called before all other methods

	// on handles a fact or an event. handled is false if it is not for this part. next is the next phase, or nil to stay.
	on(h happening) (next phase, handled bool)
	// deadline returns when due should be called, or zero. After a crash, the deadline may be as old as the last
	// checkpoint.
	deadline() time.Time
	due(now time.Time)

	// busy returns why the call can't be handed over, or nil if it can.
	busy() error
	save(k *snapshot.Sheet)
	// restore restores the part from the state of a saved call and its record, before the call's first turn.
	restore(k *snapshot.Call, r *record.Record) error
	// begin runs in the first turn of a restored call. It returns the next phase, or nil if this part does not decide on
	// it.
	begin(v *restoring) phase
	// connected is called when an agent is connected to the caller, or still is after a restart.
	connected()

	// end stops the part, before the call's record is made. release is called when the record is handed over.
	end()
	release()

	// show adds what the record does not have to the description of a live call.
	show(l *registry.LiveCall)
}

// parts holds the parts of a call.
type parts struct {
	queue        queue
	identity     identity
	trial        trial
	customer     customer
	telling      telling
	replacements replacements
	transfers    transfers
	rescues      rescues
	checkpoint   checkpoint
	orders       orders
}

// all returns the parts in the order in which they are offered facts and events.
func (p *parts) all() [10]part {
	return [...]part{
		&p.queue, &p.identity, &p.trial, &p.customer, &p.telling, &p.replacements, &p.transfers, &p.rescues, &p.checkpoint,
		&p.orders,
	}
}

// idle is a part that does nothing. Other parts embed it.
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

// dispatch passes a fact or an event to the part that handles it. handled is false if no part does; then the phase must
// handle it.
func (c *Call) dispatch(h happening) (next phase, handled bool) {
	for _, p := range c.all() {
		next, handled = p.on(h)
		if handled {
			break
		}
	}
	return next, handled
}

// hasAgent tells the parts that an agent is connected, or still is after a restart.
func (c *Call) hasAgent() {
	for _, p := range c.all() {
		p.connected()
	}
}

// isDue reports whether a deadline has passed.
func isDue(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
