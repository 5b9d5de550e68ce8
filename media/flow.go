package media

import "net/netip"

// Side is one of the two sides of a session.
type Side int

// The sides of a session.
const (
	SideA Side = iota // the carrier
	SideB             // the agent
)

// Other returns the opposite side.
func (s Side) Other() Side { return 1 - s }

// String returns "a" or "b".
func (s Side) String() string {
	if s == SideA {
		return "a"
	}
	return "b"
}

// Kind tells RTP from RTCP.
type Kind uint8

// The kinds of a flow.
const (
	RTP  Kind = iota // the even port
	RTCP             // the odd port, or the same as RTP (Peer.Mux)
)

// FlowID names a flow within an engine.
type FlowID struct {
	Session uint64
	From    Side // the side whose packets the flow takes
	Kind    Kind
}

// Flow is one direction of one kind of packet, resolved: whatever arrives at In
// from exactly Source, and is of the stream SSRC, leaves from Out to Dest,
// changed by Rewrite. It is a plain
// comparable value, so that every path carries the same one.
type Flow struct {
	ID      FlowID
	In      netip.AddrPort // our address on the side that sends
	Source  netip.AddrPort // the locked source; invalid while none is
	SSRC    uint32         // of the locked stream; of RTP only
	Out     netip.AddrPort // our address on the side that receives
	Dest    netip.AddrPort // invalid: nobody to send to, packets are dropped
	Held    bool           // Dest wants none: packets are taken, counted and dropped
	Rewrite Rewrite        // of RTP flows only; RTCP is made to fit it
}

// Path carries the packets of flows. Who may send is not a path's decision: it
// compares with Flow.Source and Flow.SSRC, and what does not match goes to the
// session's latch. A path is called by the goroutine that owns the session.
type Path interface {
	// Attach starts to carry f, or puts it in the place of the flow with the
	// same ID. What is carried is added to c, which is the same in every call
	// for one ID.
	Attach(f Flow, c *Counters) error
	// Detach stops carrying a flow and leaves its final figures in the
	// Counters it was attached with. An unknown ID is ignored.
	Detach(id FlowID)
}
