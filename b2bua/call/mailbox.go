package call

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/inbox"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/registry"
)

// item is one thing that is posted to a call: an input for one of its legs, an event, a question about its state, an
// operator's command, or the notice that a standby has the call's state.
type item struct {
	line  *LegOnWire
	in    leg.Input
	event event
	ask   chan<- registry.LiveCall

	order *order
	kept  bool
}

// happening is a fact that a leg reported, or an event.
type happening struct {
	from  *LegOnWire
	fact  leg.Fact
	event event
}

// mailbox holds the items, requests and facts that a call has yet to handle.
type mailbox struct {
	inbox.Inbox[item]                        // posted by other goroutines
	due               inbox.Queue[item]      // requests to pass to legs, in CSeq order
	pending           inbox.Queue[happening] // facts and events that the phase has not handled yet
}

// happened queues an event for the call.
func (m *mailbox) happened(e event) { m.pending.Push(happening{event: e}) }

// queue queues requests that a leg should handle next.
func (m *mailbox) queue(l *LegOnWire, requests []leg.RequestIn) {
	for _, in := range requests {
		m.due.Push(item{line: l, in: in})
	}
}

// Kind returns the item's kind, which decides how many such items fit into the inbox.
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

// event is anything that happens to a call, except what its legs report: results of work that the call started, events
// of its media, or commands to end it. The set is closed: only this file adds to it, and each phase of the call
// handles every member.
//
//sumtype:decl
type event interface{ isEvent() }

// ready is the result of an attempt's preparation: API call, name lookup and connection. For each further address of
// the target, the call gets another ready.
type ready struct {
	Attempt int
	*reach.Reached
	TriedTCP bool // the INVITE was too large for UDP; if Flow is unset, the connection failed
}

// inBridge is an event of the call's bridge.
type inBridge struct{ bridge.Event }

// ofPart is an event that a part of the call has declared for itself.
type ofPart struct{ partEvent }

//sumtype:decl
type partEvent interface{ isPartEvent() }

// killed is a command to end the call now.
type killed struct {
	Cause cause.Cause
	By    string // store.EndedBy…
}

// status returns the status for refusing a caller that has no final response yet.
func (k killed) status() int {
	if k.Cause == cause.OperatorHangup {
		return 480 // a 503 would make the carrier believe that its next calls fail as well
	}
	return 503
}

// expired means that a time limit has passed: of the set-up, of the call, or of its wait in a queue.
type expired struct{ Cause cause.Cause }

func (ready) isEvent()    {}
func (inBridge) isEvent() {}
func (ofPart) isEvent()   {}
func (killed) isEvent()   {}
func (expired) isEvent()  {}
