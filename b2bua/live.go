package b2bua

import (
	"context"
	"fmt"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// What others may ask of the calls that are live.

// probed is how many calls Responsive asks.
const probed = 8

// Responsive says whether calls are handled: one of several live calls answers
// before ctx ends. It never returns if a lock is stuck, so only a watchdog should
// call it.
func (s *Server) Responsive(ctx context.Context) error {
	calls := s.registry.All() // in the order of a map, which is by chance
	calls = calls[:min(len(calls), probed)]
	s.admission.IsDraining() // takes its lock
	if len(calls) == 0 {
		return nil
	}
	answers := make(chan bool, len(calls))
	for _, c := range calls {
		go func() { // ends with ctx at the latest
			_, ok := c.ask(ctx)
			answers <- ok
		}()
	}
	for range calls {
		if <-answers {
			return nil
		}
	}
	return fmt.Errorf("none of %d calls answers: %w", len(calls), context.Cause(ctx))
}

// Underway gives the calls that have a turn, each with a number that changes while that gets on.
func (s *Server) Underway(yield func(id string, step uint64)) {
	for _, c := range s.registry.All() {
		if step, is := c.mailbox.Underway(); is {
			yield(c.id, step)
		}
	}
}

// Reading gives the SIP sockets whose reader handles a message, as Underway gives calls.
func (s *Server) Reading(yield func(socket string, step uint64)) { s.stack.Reading(yield) }

// LiveCall is the state of a call that is not over.
type LiveCall struct {
	Record record.Record
	Phase  string // preparing, queued, dialing, bridged or ending

	Position int // in the queue of its route, from 1; 0: it does not wait for a place

	Recording string // RecordingOff, …
	Masked    bool   // the caller's keys are
	OnHold    bool   // by an order
	At        string // the target that the caller is connected to; empty: it is not answered

	Transfer *record.Transfer // the last one; nil: there was none

	Held  [2]bool   // by media.Side: it wants no media
	Hears [2]string // by media.Side: our tone or sound that it hears

	Speaks [2]bool // by turns.Party: it speaks now

	Vars    template.Vars      // of its templates
	headers []sip.Header       // of the carrier's INVITE
	caller  message.HeaderText // instead of headers, in a call that is settled
}

// Live gives the calls that are live, in no order.
func (s *Server) Live(ctx context.Context) []LiveCall {
	var all []LiveCall
	for _, c := range s.registry.All() {
		if l, ok := c.ask(ctx); ok {
			all = append(all, l)
		}
	}
	return all
}

// Find gives the live call with this id.
func (s *Server) Find(ctx context.Context, id string) (LiveCall, bool) {
	c := s.registry.Call(id)
	if c == nil {
		return LiveCall{}, false
	}
	return c.ask(ctx)
}
