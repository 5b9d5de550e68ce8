package registration

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/locate"
)

// Input is an event for a registration. The set is closed: all its members are in this file.
//
//sumtype:decl
type Input interface{ isInput() }

type (
	// Begin has it register.
	Begin struct{}
	// Reached says that the registrar's host has an address, and how this server is named toward it.
	Reached struct {
		Local leg.Local
		Place
	}
	// Unreached says that the host has no address, or that this one takes no connection.
	Unreached struct {
		Err error
		Place
	}
	// Answered is a final answer to the last request.
	Answered struct{ Res *sip.Response }
	// Failed says that a request with this CSeq gets no answer.
	Failed struct {
		Method sip.RequestMethod
		Seq    uint32
		Err    error
	}
	// Broken says that the connection to the registrar is gone.
	Broken struct{}
	// DeadlineReached says that the Deadline has come.
	DeadlineReached struct{}
	// Leave has the binding removed, and ends the registration.
	Leave struct{}
)

func (Begin) isInput()           {}
func (Reached) isInput()         {}
func (Unreached) isInput()       {}
func (Answered) isInput()        {}
func (Failed) isInput()          {}
func (Broken) isInput()          {}
func (DeadlineReached) isInput() {}
func (Leave) isInput()           {}

// Place is an address of a registrar.
type Place struct {
	Hop  locate.Hop // zero if none was found
	More bool       // there are others that were not tried
}

// Effect is what a registration wants done. The set is closed: all its members are in this file.
//
//sumtype:decl
type Effect interface{ isEffect() }

type (
	// Reach finds an address of a host, the first one that is not among those tried (RFC 3263 section 4.3), and a
	// connection to it where the transport has them: then Reached, or Unreached. What was under way ends.
	Reach struct {
		locate.Query
		Tried []locate.Hop
	}
	// Avoid says that an address has failed, and for how long it does not want to be asked; 0 means it says nothing.
	Avoid struct {
		Hop   locate.Hop
		Why   string
		After time.Duration
	}
	// Send sends a request to what was Reached last.
	Send struct{ Req *sip.Request }
	// Ping sends a keep-alive over the connection (RFC 5626 section 3.5.1).
	Ping struct{}
	// Changed says that the Status has another State, that a renewal has failed, or that one was granted elsewhere or
	// after a failure.
	Changed struct{}
)

func (Reach) isEffect()   {}
func (Avoid) isEffect()   {}
func (Send) isEffect()    {}
func (Ping) isEffect()    {}
func (Changed) isEffect() {}
