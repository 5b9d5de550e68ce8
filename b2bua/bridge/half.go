package bridge

import (
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// Line sends the messages of a leg.
type Line interface {
	Step(in leg.Input)
	// Trying answers the peer's INVITE with 100 once the call is in the journal.
	Trying()
}

// Half is one leg of a call as the bridge sees it: the leg with its SRTP keys and its configuration. It belongs
// to the call's goroutine.
type Half struct {
	Line

	Side   media.Side     // constant
	Leg    *leg.Leg       // constant
	Peer   *peers.Peer    // constant: the configuration of the leg's peer
	Crypto *sdp.LegCrypto // SRTP state of the leg; nil until an offer is made or received

	// Confirmed means that the peer really is at the address that its messages come from: it has answered a message
	// that we sent there. Until then, its INVITE may be forged.
	Confirmed bool
}
