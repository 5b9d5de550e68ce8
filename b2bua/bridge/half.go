package bridge

import (
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Line is the way to a leg.
type Line interface {
	Step(in leg.Input)
	// Trying answers 100 to the peer's INVITE once the call is noted.
	Trying()
}

// Half is one leg of a call as the other one meets it: by its keys, its session and its configuration. It belongs to
// the call's goroutine.
type Half struct {
	Line

	Side   media.Side     // constant
	Leg    *leg.Leg       // constant
	Peer   *peers.Peer    // constant: its configuration
	Crypto *sdp.LegCrypto // its SRTP state; nil means nothing is offered yet

	// Confirmed: the peer is where its signalling comes from, it has answered what was sent there. The INVITE of a
	// caller may be forged.
	Confirmed bool
}
