package admin

import "flowbridge/store/record"

// Registrations are the node's own at others, and others' at the node.
type Registrations struct {
	Outgoing []Outgoing `json:"outgoing"` // by trunk
	Incoming []Incoming `json:"incoming"` // by holder, the one that is called first at the top
}

// Outgoing is the registration of a trunk at a carrier or PBX.
type Outgoing struct {
	Trunk     string      `json:"trunk"`
	State     string      `json:"state"`
	Registrar string      `json:"registrar"`
	Contact   string      `json:"contact"`
	Since     record.Time `json:"since"`      // since when the state holds
	ExpiresAt record.Time `json:"expires_at"` // null if nothing is registered
	NextAt    record.Time `json:"next_at"`    // null while a request is under way
	Failures  int         `json:"failures"`
	SIPStatus int         `json:"sip_status"`
	Reason    string      `json:"reason"`
}

// Incoming is a Contact that has registered here, or at another node of the fleet.
type Incoming struct {
	Trunk        string      `json:"trunk"`  // its trunk; empty for a target's
	Target       string      `json:"target"` // its target; empty for a trunk's
	Contact      string      `json:"contact"`
	Q            float64     `json:"q"`
	Address      string      `json:"address"` // where the REGISTER came from
	Transport    string      `json:"transport"`
	Path         []string    `json:"path"`
	UserAgent    string      `json:"user_agent"`
	Node         string      `json:"node,omitempty"` // where it has registered; empty if here
	RegisteredAt record.Time `json:"registered_at"`
	ExpiresAt    record.Time `json:"expires_at"`
}
