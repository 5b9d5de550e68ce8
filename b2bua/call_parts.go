package b2bua

import (
	"time"

	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/store/record"
)

// part is one concern of a call, with its state between turns. It embeds idle, and has the methods that it needs.
type part interface {
	of(c *Call) // once, before all else

	// on handles a fact or an event that is the part's, and returns the next phase; nil: the same one.
	on(h happening) (next phase, mine bool)
	// deadline is when due is to be called; zero: not. After a kill it is as old as the last note.
	deadline() time.Time
	due(now time.Time)

	// busy says why the call can't be handed over; nil: it can.
	busy() error
	save(k *snapshot.Sheet)
	// restore restores the part of a state with its record, before the call's first turn.
	restore(k *snapshot.Call, r *record.Record) error
	// begin is the first turn of a call that was restored. It returns the next phase where the part says what it is.
	begin(v *restoring) phase
	// connected: the caller has an agent, or has it still after a restart.
	connected()

	// end ends the part before the call's record is made, and release when that is handed over.
	end()
	release()

	// show says what only a live call tells.
	show(l *registry.LiveCall)
}

// parts has the parts of a call.
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

// all gives the parts in the order in which they are asked.
func (p *parts) all() [9]part {
	return [...]part{
		&p.queue, &p.identity, &p.trial, &p.customer, &p.replacements, &p.transfers, &p.rescues, &p.checkpoint, &p.orders,
	}
}

// idle is what a part does that has nothing to do.
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

// give gives a fact or an event to the part that it concerns; false: it concerns the call itself.
func (c *Call) give(h happening) (next phase, taken bool) {
	for _, p := range c.all() {
		next, taken = p.on(h)
		if taken {
			break
		}
	}
	return next, taken
}

// hasAgent says that an agent is connected, or was before a restart.
func (c *Call) hasAgent() {
	for _, p := range c.all() {
		p.connected()
	}
}

// isDue says whether a deadline has come.
func isDue(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
