package b2bua

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/inbox"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/registry"
)

// item is one thing that was posted to a call: an input for one of its legs,
// an event, a question about its state, an operator's order, or the word that other
// machines have the call.
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

// mailbox holds what a call has still to handle.
type mailbox struct {
	inbox.Inbox[item]                        // from other goroutines
	due               inbox.Queue[item]      // requests whose turn it is
	pending           inbox.Queue[happening] // not yet handled
}

// happened adds an event.
func (m *mailbox) happened(e event) { m.pending.Push(happening{event: e}) }

// queue gives requests to a leg their turn.
func (m *mailbox) queue(l *legOnWire, requests []leg.RequestIn) {
	for _, in := range requests {
		m.due.Push(item{line: l, in: in})
	}
}

// Kind says what room the item finds in an inbox.
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

// event happens to a call beside the facts of its legs: from work that it started,
// from its media, from outside. The set is closed: only this file adds to it, and each phase of the call
// handles every member.
//
//sumtype:decl
type event interface{ isEvent() }

// ready is the result of an attempt's preparation: API call, name lookup, connection. It comes again for each further
// address.
type ready struct {
	Attempt int
	*reach.Reached
	TriedTCP bool // an INVITE over the budget asked for a connection; no Flow: it could not be opened
}

// inBridge is an event of the call's bridge.
type inBridge struct{ bridge.Event }

// ofPart is an event of one part of the call, which has declared it.
type ofPart struct{ partEvent }

//sumtype:decl
type partEvent interface{ isPartEvent() }

// killed is a command to end the call now.
type killed struct {
	Cause cause.Cause
	By    string // store.EndedBy…
}

// status returns the final answer to a caller who has none yet.
func (k killed) status() int {
	if k.Cause == cause.OperatorHangup {
		return 480 // 503 would have the carrier think that its next calls fail, too
	}
	return 503
}

// expired says that the set-up or the call has taken as long as it may.
type expired struct{ Cause cause.Cause }

func (ready) isEvent()    {}
func (inBridge) isEvent() {}
func (ofPart) isEvent()   {}
func (killed) isEvent()   {}
func (expired) isEvent()  {}
