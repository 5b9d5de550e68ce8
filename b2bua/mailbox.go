package b2bua

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/inbox"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/registry"
)

// item is one thing that is posted to a call: an input for one of its legs, an event, a question about its state, an
// operator's order, or the notice that a standby has the call's state.
type item struct {
	line  *legOnWire
	in    leg.Input
	event event
	ask   chan<- registry.LiveCall

	order *order
	kept  bool
}

// happening is a fact with its leg, or an event.
type happening struct {
	from  *legOnWire
	fact  leg.Fact
	event event
}

// mailbox holds the items, requests and facts that a call has yet to handle.
type mailbox struct {
	inbox.Inbox[item]                        // posted by other goroutines
	due               inbox.Queue[item]      // requests that are due
	pending           inbox.Queue[happening] // not yet handled
}

// happened queues an event for the call.
func (m *mailbox) happened(e event) { m.pending.Push(happening{event: e}) }

// queue queues requests that a leg is to handle next.
func (m *mailbox) queue(l *legOnWire, requests []leg.RequestIn) {
	for _, in := range requests {
		m.due.Push(item{line: l, in: in})
	}
}

// Kind returns the item's kind, which decides how much room an inbox has for it.
func (it item) Kind() inbox.Kind {
	switch {
	case it.in != nil:
		return inbox.KindOf(it.in)
	case it.event != nil:
		return inbox.Ending
	case it.order != nil && it.order.do != nil:
		return inbox.Ordered
	}
	return inbox.Asked
}

// event is anything that happens to a call other than the facts of its legs: it comes from work that the call started,
// from its media, or from outside. The set is closed: only this file adds to it, and each phase of the call handles
// every member.
//
//sumtype:decl
type event interface{ isEvent() }

// ready is the result of an attempt's preparation: API call, name lookup, connection. It comes again for each
// additional address.
type ready struct {
	Attempt int
	*reach.Reached
	TriedTCP bool // an INVITE over the budget needs a connection; without Flow, opening one failed
}

// inBridge is an event of the call's bridge.
type inBridge struct{ bridge.Event }

// ofPart is an event that one part of the call has declared.
type ofPart struct{ partEvent }

//sumtype:decl
type partEvent interface{ isPartEvent() }

// killed is a command to end the call now.
type killed struct {
	Cause cause.Cause
	By    string // store.EndedBy…
}

// status returns the final answer for a caller that has none yet.
func (k killed) status() int {
	if k.Cause == cause.OperatorHangup {
		return 480 // 503 would make the carrier believe that its next calls fail, too
	}
	return 503
}

// expired means that the set-up or the call has reached its time limit.
type expired struct{ Cause cause.Cause }

func (ready) isEvent()    {}
func (inBridge) isEvent() {}
func (ofPart) isEvent()   {}
func (killed) isEvent()   {}
func (expired) isEvent()  {}
