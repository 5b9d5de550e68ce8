package call

import (
	"slices"
	"time"
)

// sides holds the legs of a call.
type sides struct {
	legs []*LegOnWire  // legs that may still have messages to send
	room [2]*LegOnWire // initial memory of legs
	a    *LegOnWire    // the leg to the caller, or to the first party of a placed call
	// b is the leg connected to the caller; nil if there is none, or if it was lost and another party is being called.
	b            *LegOnWire
	connected    *attempt     // the attempt that is, or was last, connected to the caller
	progressSent progressSent // provisional answers that the caller has got
}

// join adds a leg.
func (s *sides) join(l *LegOnWire) {
	if s.legs == nil {
		s.legs = s.room[:0]
	}
	s.legs = append(s.legs, l)
}

// remove removes a leg that has no more messages to send.
func (s *sides) remove(l *LegOnWire) {
	s.legs = slices.DeleteFunc(s.legs, func(o *LegOnWire) bool { return o == l })
}

// setCaller sets the leg to the caller, or to the first party of a placed call.
func (s *sides) setCaller(l *LegOnWire) { s.a = l }

// connect connects the caller to the party that an attempt has called, and that has answered.
func (s *sides) connect(a *attempt) {
	s.connected, s.b = a, a.line
	a.answered = time.Now()
}

// lose disconnects the agent, and returns its leg, or nil if there is none.
func (s *sides) lose() (agent *LegOnWire) {
	agent, s.b = s.b, nil
	return agent
}

// forgetAgent disconnects the agent of a placed call as if there had been none. It returns its leg and its attempt, or
// nil.
func (s *sides) forgetAgent() (agent *LegOnWire, was *attempt) {
	agent, was = s.b, s.connected
	s.b, s.connected = nil, nil
	return agent, was
}

// regain connects the agent again that has waited while another party was called.
func (s *sides) regain(agent *LegOnWire) { s.b = agent }
