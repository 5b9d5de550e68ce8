package b2bua

import (
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
)

// event is what else happens to a call than what its legs tell: from what it
// started, from its media, from outside. The set is closed: only this file adds to
// it, and each phase of the call has an answer to every member.
//
//sumtype:decl
type event interface{ isEvent() }

// Ready is what an attempt's preparation came to: API call and name lookup.
type Ready struct {
	Attempt  int
	Prepared peers.Prepared
	URI      sip.Uri
	Dest     netip.AddrPort
	Flow     *transport.Stream // the connection to dial over; nil: UDP
	TriedTCP bool              // an INVITE over the budget asked for a connection; without Flow there is none
	Cause    cause.Cause       // CauseNone: ready to dial
	Err      error
	Elapsed  time.Duration // of the API call
	AskedAPI bool
}

// MediaLost says that no RTP came from either side for media.timeout, or, if
// there never was any since the answer, for media.start_timeout.
type MediaLost struct {
	For   time.Duration
	Never bool
}

// OneWay says that nothing is heard from a side while the other one speaks,
// or, when that is over, that it is heard after all.
type OneWay struct {
	Side media.Side
	Over bool
}

// Latched says that a side's real RTP source is known.
type Latched struct {
	Side   media.Side
	Source netip.AddrPort
}

// Keyed is a digit that a side sent as telephone-events, which were kept.
type Keyed struct {
	Side     media.Side
	Digit    byte
	Duration time.Duration
}

// Played says that a sound of ours that a side heard has come to its end.
type Played struct {
	Side media.Side
	ID   uint64 // of the media.Play
}

// Killed is a command to end the call now.
type Killed struct {
	Cause cause.Cause
	By    string // store.EndedBy…
}

// Expired says that the set-up or the call has taken as long as it may.
type Expired struct{ Cause cause.Cause }

func (Ready) isEvent()     {}
func (MediaLost) isEvent() {}
func (OneWay) isEvent()    {}
func (Latched) isEvent()   {}
func (Keyed) isEvent()     {}
func (Played) isEvent()    {}
func (Killed) isEvent()    {}
func (Expired) isEvent()   {}
