package registry

import (
	"slices"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// LiveCall is the state of a call that is not over.
type LiveCall struct {
	Record record.Record
	Phase  string // preparing, queued, dialing, bridged or ending

	Position int // in the queue of its route, from 1; 0: it does not wait for a place

	Recording string // bridge.RecordingOff, …; empty: the call is over
	Masked    bool   // the caller's keys are
	OnHold    bool   // by an order
	At        string // the target that the caller is connected to; empty: it is not answered

	Transfer *record.Transfer // the last one; nil: there was none

	Held  [2]bool   // by media.Side: it wants no media
	Hears [2]string // by media.Side: our tone or sound that it hears

	Transcodes string // what is made of what, as "opus <-> PCMU"; empty: nothing

	Speaks [2]bool // by turns.Party: it speaks now

	Vars   template.Vars      // of its templates
	Invite []sip.Header       // the headers of the caller's INVITE
	Caller message.HeaderText // instead of Invite, in a call that is settled
}

// Given reports whether this id of the call comes from us or from the platform. A caller cannot write or guess it.
// The same ids have the rank Given.
func (l *LiveCall) Given(id string) bool {
	r := &l.Record
	return id != "" && slices.Contains([]string{r.ID, r.TargetSIPCallID, r.SynthflowCallID}, id)
}

// Headers returns the headers X-… of the caller's INVITE, each with its first value.
func (l LiveCall) Headers() []peers.Variable {
	if l.Caller != "" {
		l.Invite = l.Caller.Request().Headers()
	}
	return outbound.Extensions(l.Invite)
}
