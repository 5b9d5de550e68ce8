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

// part is one concern of a bridge, with its state. Bridge.parts lists them.
type part interface {
	open(b *Bridge)
	// on handles an event, or a step of the call. If it returns true, the remaining parts do not get the event.
	on(e Event) (taken bool)
	came(from *Half, req *sip.Request) // called for each request within a dialog when it arrives; it may be handled later
	// asked answers such a request, unless it is a REFER, or passes it on. If it returns true, the remaining parts do not
	// get the request.
	asked(from *Half, req *sip.Request) (taken bool)
	// obey carries out an order if it is for this part.
	obey(o Order) (taken bool, err error)

	deadline() time.Time // zero if none
	due(now time.Time)   // the deadline has come; after a crash it may be older, from the last checkpoint
	waits() bool         // reports whether something is in progress that an upgrade would lose

	save(k *snapshot.Sheet)
	restore(k *snapshot.Bridge) // sends nothing yet, except a sound that keeps the sides apart
	begin()                     // runs in the first turn after restore, and restarts what the media's state does not have

	show(live *registry.LiveCall) // adds to the public view of a call
	record(r *record.Record)      // adds the part's figures so far; called again after end
	end()                         // may be repeated
}

// idle is a part that does nothing. Other parts embed it, and implement only the methods that they need.
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

// Routed means that the call has its route.
type Routed struct{}

// Answered means that the caller is about to get the answer, or that the first party of a placed call has answered.
type Answered struct{}

// Turned means that a turn of the call ends.
type Turned struct{}

// Left means that a leg has left the call, or is about to.
type Left struct{ Leg *Half }

// Undone means that HandOver has failed.
type Undone struct{}

// Events that only parts handle.
type (
	describing struct{}                   // the media is about to follow a new description
	described  struct{}                   // the media follows it
	cut        struct{ side media.Side }  // this side's sound was stopped
	replaced   struct{ *snapshot.Bridge } // another process takes over the media, with this state
)

// Tell passes an event to the parts until one takes it.
func (b *Bridge) Tell(e Event) {
	for _, p := range b.parts() {
		if p.on(e) {
			return
		}
	}
}

// each calls do with each part.
func (b *Bridge) each(do func(part)) {
	for _, p := range b.parts() {
		do(p)
	}
}

// Came tells the parts that a request within a dialog has come.
func (b *Bridge) Came(from *Half, req *sip.Request) { b.each(func(p part) { p.came(from, req) }) }

// Asked answers a request within the dialog, unless it is a REFER, or passes it to the other side.
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

// Deadline returns the earliest deadline of the parts, or zero if there is none.
func (b *Bridge) Deadline() (first time.Time) {
	b.each(func(p part) { first = leg.Earliest(first, p.deadline()) })
	return first
}

// OnTimer handles the deadlines that have passed.
func (b *Bridge) OnTimer(now time.Time) {
	b.each(func(p part) {
		if at := p.deadline(); !at.IsZero() && !now.Before(at) {
			p.due(now)
		}
	})
}

// Waits reports whether something is in progress that the next process could not continue.
func (b *Bridge) Waits() (waits bool) {
	b.each(func(p part) { waits = waits || p.waits() })
	return waits
}

// Show adds to the public view of a call.
func (b *Bridge) Show(live *registry.LiveCall) {
	for side, d := range b.Agreement.Description {
		live.Held[side] = d != nil && d.Held()
	}
	b.each(func(p part) {
		p.record(&live.Record)
		p.show(live)
	})
}

// End ends everything between the legs, and completes the call's record.
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

// Forget releases the state that a finished call does not need.
func (b *Bridge) Forget() {
	b.endParts()
	b.Agreement, b.Keying.secured = agreement.Agreement{}, [2]secured{}
}
