package stage

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
