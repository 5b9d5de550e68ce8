package bridge

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// part is one concern of a bridge, with what it has to know between two turns of the call. Bridge.parts has all.
type part interface {
	open(b *Bridge)
	// on handles an event, or a step of the call. A part that takes it is the last one to get it.
	on(e Event) (taken bool)
	came(from *Half, req *sip.Request) // a request within a dialog, whose turn may be later
	// asked answers such a request that is no REFER, or passes it on. A part that takes it is the last one to get it.
	asked(from *Half, req *sip.Request) (taken bool)
	// obey carries out an order, if it is one for this part.
	obey(o Order) (taken bool, err error)

	deadline() time.Time // zero: none
	due(now time.Time)   // the deadline has come; after a kill it is as old as the call's last note
	waits() bool         // for what a process that replaces this one would not get

	save(k *snapshot.Sheet)
	restore(k *snapshot.Bridge) // says nothing to anybody yet, but for a sound that keeps the sides apart
	begin()                     // the first turn after restore: again, what the state of the media does not have

	show(live *registry.LiveCall) // adds to what others see of a call
	record(r *record.Record)      // adds the figures so far; called once more after end
	end()                         // may be repeated
}

// idle is a part that does nothing. A part embeds it, and writes only what it does.
type idle struct{ bridge *Bridge }

func (i *idle) open(b *Bridge)               { i.bridge = b }
func (*idle) on(Event) bool                  { return false }
func (*idle) came(*Half, *sip.Request)       {}
func (*idle) asked(*Half, *sip.Request) bool { return false }
func (*idle) obey(Order) (bool, error)       { return false, nil }
func (*idle) deadline() (none time.Time)     { return none }
func (*idle) due(time.Time)                  {}
func (*idle) waits() bool                    { return false }
func (*idle) save(*snapshot.Sheet)           {}
func (*idle) restore(*snapshot.Bridge)       {}
func (*idle) begin()                         {}
func (*idle) show(*registry.LiveCall)        {}
func (*idle) record(*record.Record)          {}
func (*idle) end()                           {}

// Routed says that the call has its route.
type Routed struct{}

// Answered says that the caller gets the answer next, or that the customer of a placed call has answered.
type Answered struct{}

// Turned says that a turn of the call ends.
type Turned struct{}

// Left says that a leg has left the call, or is about to.
type Left struct{ Leg *Half }

// Undone says that nothing has come of HandOver.
type Undone struct{}

// Steps that only parts take.
type (
	describing struct{}                   // the media is about to follow a new description
	described  struct{}                   // it does
	cut        struct{ side media.Side }  // whose sound the media has given up
	replaced   struct{ *snapshot.Bridge } // another process has the media, with this state
)

// Tell tells the parts of an event, until one takes it.
func (b *Bridge) Tell(e Event) {
	for _, p := range b.parts() {
		if p.on(e) {
			return
		}
	}
}

// each does something with each part.
func (b *Bridge) each(do func(part)) {
	for _, p := range b.parts() {
		do(p)
	}
}

// Came notes a request within a dialog as it comes.
func (b *Bridge) Came(from *Half, req *sip.Request) { b.each(func(p part) { p.came(from, req) }) }

// Asked answers a request within the dialog that is no REFER, or passes it to the other side.
func (b *Bridge) Asked(from *Half, req *sip.Request) {
	for _, p := range b.parts() {
		if p.asked(from, req) {
			return
		}
	}
	b.Reply(from, req, 405, from.Leg.Allow())
}

// Obey carries out an order.
func (b *Bridge) Obey(what Order) error {
	for _, p := range b.parts() {
		if taken, err := p.obey(what); taken {
			return err
		}
	}
	return noOrder(what)
}

// Deadline is the earliest one; zero: none.
func (b *Bridge) Deadline() (first time.Time) {
	b.each(func(p part) { first = leg.Earliest(first, p.deadline()) })
	return first
}

// OnTimer handles the deadlines that have come.
func (b *Bridge) OnTimer(now time.Time) {
	b.each(func(p part) {
		if at := p.deadline(); !at.IsZero() && !now.Before(at) {
			p.due(now)
		}
	})
}

// Waits says whether something is under way that a process which replaces this one could not go on with.
func (b *Bridge) Waits() (waits bool) {
	b.each(func(p part) { waits = waits || p.waits() })
	return waits
}

// Show adds to what others see of a call.
func (b *Bridge) Show(live *registry.LiveCall) {
	for side, d := range b.Agreement.Description {
		live.Held[side] = d != nil && d.Held()
	}
	b.each(func(p part) {
		p.record(&live.Record)
		p.show(live)
	})
}

// End ends everything that lies between the legs, and completes the call's record.
func (b *Bridge) End(r *record.Record) {
	b.endParts()
	b.Media.close()
	b.each(func(p part) { p.record(r) })
	b.Media.session = nil
}

func (b *Bridge) endParts() {
	all := b.parts()
	for i := range all {
		all[len(all)-1-i].end()
	}
}

// Forget lets go of what a call does not need that is over.
func (b *Bridge) Forget() {
	b.endParts()
	b.Agreement, b.Keying.secured = agreement.Agreement{}, [2]secured{}
}
