package bridge

import (
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Line sends a leg's messages.
type Line interface {
	Step(in leg.Input)
	// Trying answers the peer's INVITE with 100 once the call is in the journal.
	Trying()
}

// Half is one leg of a call as the bridge sees it: the leg with its SRTP keys and its configuration. The call's
// goroutine owns it.
type Half struct {
	Line

	Side   media.Side     // constant
	Leg    *leg.Leg       // constant
	Peer   *peers.Peer    // constant: its configuration
	Crypto *sdp.LegCrypto // SRTP state of the leg; nil until something is offered

	// Confirmed means that the peer is really at the address that its messages come from, because it has answered a
	// message sent there. A caller's INVITE may be forged.
	Confirmed bool
}
