package bridge

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// part is one concern of a bridge, with its state.
type part interface {
	open(b *Bridge)
	// on handles an event, or a step of the call. If it returns true, the remaining parts do not get the event.
	on(e Event) (handled bool)
	came(from *Half, req *sip.Request) // called when a request within a dialog arrives; asked may get it later
	// asked answers a request within a dialog other than REFER, or passes it on. If it returns true, the remaining parts
	// do not get the request.
	asked(from *Half, req *sip.Request) (handled bool)
	// obey carries out a command. handled is false if the command is meant for another part.
	obey(o Order) (handled bool, err error)

	deadline() time.Time // zero if none
	// due is called when the deadline has passed. After a crash, the deadline may be an older one, from the last
	// checkpoint.
	due(now time.Time)
	// busy returns what is in progress that an upgrade would lose, or nil.
	busy() error

	save(k *snapshot.Sheet)
	restore(k *snapshot.Bridge) // must not send anything yet, except a sound that keeps the sides apart
	// begin runs in the call's first turn after restore, and restarts what is not part of the media's state.
	begin()

	show(live *registry.LiveCall) // adds the part's state to the public view of a call
	record(r *record.Record)      // adds the part's figures so far; also called after end
	end()                         // ends the part; may be called again
}

// idle is a part that does nothing. Other parts embed it, and implement only the methods that they need.
type idle struct{ bridge *Bridge }

// service is the idle of the parts on which the others build. A service names no other part but services
// (TestServicesNameNoFeature).
type service struct{ idle }

func (i *idle) open(b *Bridge)               { i.bridge = b }
func (*idle) on(Event) bool                  { return false }
func (*idle) came(*Half, *sip.Request)       {}
func (*idle) asked(*Half, *sip.Request) bool { return false }
func (*idle) obey(Order) (bool, error)       { return false, nil }
func (*idle) deadline() (none time.Time)     { return none }
func (*idle) due(time.Time)                  {}
func (*idle) busy() error                    { return nil }
func (*idle) save(*snapshot.Sheet)           {}
func (*idle) restore(*snapshot.Bridge)       {}
func (*idle) begin()                         {}
func (*idle) show(*registry.LiveCall)        {}
func (*idle) record(*record.Record)          {}
func (*idle) end()                           {}

// Routed means that the call's route has been chosen.
type Routed struct{}

// Answered means that the caller is about to get the answer, or that the first party of a placed call has answered.
type Answered struct{}

// Turned means that the call is about to wait for its next input, or to change its phase.
type Turned struct{}

// Left means that a leg has left the call, or is about to.
type Left struct{ Leg *Half }

// Undone means that HandOver has failed, so that this process keeps the call.
type Undone struct{}

// These events are handled only by parts.
type (
	describing struct{}                   // the media is about to follow a new description
	described  struct{}                   // the media follows the new description
	cut        struct{ side media.Side }  // the media of this side was stopped, with our sound unless that goes on
	replaced   struct{ *snapshot.Bridge } // another process takes over the media, with this state
)

// partFields are the indices of those fields of a Bridge that are parts.
var partFields = findParts() //nolint:gochecknoglobals // a constant

func findParts() (indices []int) {
	t := reflect.TypeFor[Bridge]()
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && reflect.PointerTo(f.Type).Implements(reflect.TypeFor[part]()) {
			indices = append(indices, i)
		}
	}
	return indices
}

// list returns the parts in the order of their fields.
func (b *Bridge) list() []part {
	v := reflect.ValueOf(b).Elem()
	all := make([]part, len(partFields))
	for n, i := range partFields {
		all[n], _ = reflect.TypeAssert[part](v.Field(i).Addr())
	}
	return all
}

// Tell passes an event to the parts until one takes it.
func (b *Bridge) Tell(e Event) {
	for _, p := range b.parts {
		if p.on(e) {
			return
		}
	}
}

// each calls do with each part.
func (b *Bridge) each(do func(part)) {
	for _, p := range b.parts {
		do(p)
	}
}

// Came tells the parts that a request within a dialog has arrived.
func (b *Bridge) Came(from *Half, req *sip.Request) { b.each(func(p part) { p.came(from, req) }) }

// Asked answers a request within a dialog other than REFER, or passes it to the other side.
func (b *Bridge) Asked(from *Half, req *sip.Request) {
	for _, p := range b.parts {
		if p.asked(from, req) {
			return
		}
	}
	b.Reply(from, req, 405, from.Leg.Peer.Allow)
}

// Obey carries out an operator's command.
func (b *Bridge) Obey(what Order) error {
	for _, p := range b.parts {
		if handled, err := p.obey(what); handled {
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

// ErrRequest means that a request of one side waits for an answer.
var ErrRequest = errors.New("a request has no answer yet")

// Busy returns what is in progress that the next process could not continue, or nil.
func (b *Bridge) Busy() (err error) {
	b.each(func(p part) { err = cmp.Or(err, p.busy()) })
	return err
}

// Show adds the bridge's state to the public view of a call.
func (b *Bridge) Show(live *registry.LiveCall) {
	for side, d := range b.Agreement.Description {
		live.Held[side] = d != nil && d.Held()
	}
	b.each(func(p part) {
		p.record(&live.Record)
		p.show(live)
	})
}

// End stops everything between the legs, and adds the final figures to the call's record.
func (b *Bridge) End(r *record.Record) {
	b.endParts()
	b.Media.close()
	b.each(func(p part) { p.record(r) })
	b.Media.session = nil
}

func (b *Bridge) endParts() {
	for _, p := range slices.Backward(b.parts) {
		p.end()
	}
}

// Forget releases the state that is not needed once a call is over.
func (b *Bridge) Forget() {
	b.endParts()
	b.Agreement, b.Keying.secured = agreement.Agreement{}, [2]secured{}
}
