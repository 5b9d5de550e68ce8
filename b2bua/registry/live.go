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

// LiveCall is the state of a live call.
type LiveCall struct {
	Record record.Record
	Phase  string // preparing, queued, dialing, bridged or ending

	Position int // position in the queue of its route, from 1; 0 if the call does not wait for a place

	Recording string // bridge.RecordingOff, …; empty if the call is over
	Masked    bool   // the caller's keys are hidden
	OnHold    bool   // a command has put the caller on hold
	At        string // the target that the caller is connected to; empty before the answer

	Transfer *record.Transfer // the last transfer; nil if none

	Held  [2]bool   // by media.Side: whether this side has put the call on hold
	Hears [2]string // by media.Side: the tone or sound that we play to it

	Transcodes string // what is transcoded, such as "opus <-> PCMU"; empty if nothing is

	Speaks [2]bool // by turns.Party: whether this party is speaking

	Vars   template.Vars      // variables for templates
	Invite []sip.Header       // the headers of the caller's INVITE
	Caller message.HeaderText // replaces Invite once the call is settled
}

// Given reports whether this id of the call comes from us or from the platform. A caller can neither write nor guess
// it. These are the ids with the rank Given.
func (l *LiveCall) Given(id string) bool {
	r := &l.Record
	return id != "" && slices.Contains([]string{r.ID, r.TargetSIPCallID, r.SynthflowCallID}, id)
}

// Headers returns the X- headers of the caller's INVITE, each with its first value.
func (l LiveCall) Headers() []peers.Variable {
	if l.Caller != "" {
		l.Invite = l.Caller.Request().Headers()
	}
	return outbound.Extensions(l.Invite)
}
