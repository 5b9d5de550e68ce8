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
	// Begin starts the registration.
	Begin struct{}
	// Reached means that an address of the registrar's host was found. Local is our address toward it.
	Reached struct {
		Local leg.Local
		Place
	}
	// Unreached means that the host has no address, or that the address accepts no connection.
	Unreached struct {
		Err error
		Place
	}
	// Answered is a response to the last request.
	Answered struct{ Res *sip.Response }
	// Failed means that the request with this CSeq will get no answer.
	Failed struct {
		Method sip.RequestMethod
		Seq    uint32
		Err    error
	}
	// Broken means that the connection to the registrar is gone.
	Broken struct{}
	// DeadlineReached means that the machine's Deadline has passed.
	DeadlineReached struct{}
	// Leave removes the binding, and ends the registration.
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
	Hop  locate.Hop // zero if no address was found
	More bool       // the host has other addresses that have not been tried
}

// Effect is an action that a registration asks for. The set is closed: all its members are in this file.
//
//sumtype:decl
type Effect interface{ isEffect() }

type (
	// Reach asks for an address of a host, the first that has not been tried (RFC 3263 section 4.3), and for a
	// connection to it if the transport uses connections. The result is Reached or Unreached. A Reach replaces an
	// earlier one that has no result yet.
	Reach struct {
		locate.Query
		Tried []locate.Hop
	}
	// Avoid reports that an address has failed. After is the Retry-After that the address sent, or 0.
	Avoid struct {
		Hop   locate.Hop
		Why   string
		After time.Duration
	}
	// Send sends a request to the address of the last Reached.
	Send struct{ Req *sip.Request }
	// Ping sends a keep-alive over the connection (RFC 5626 section 3.5.1).
	Ping struct{}
	// Changed reports one of these: the State has changed, a renewal has failed, or a renewal was granted by another
	// registrar or after a failure.
	Changed struct{}
)

func (Reach) isEffect()   {}
func (Avoid) isEffect()   {}
func (Send) isEffect()    {}
func (Ping) isEffect()    {}
func (Changed) isEffect() {}
