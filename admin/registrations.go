package admin

import "flowbridge/store/record"

// Registrations are those of the node at others, and of others at the node.
type Registrations struct {
	Outgoing []Outgoing `json:"outgoing"` // by trunk
	Incoming []Incoming `json:"incoming"` // by who has registered, the one that is called first at the top
}

// Outgoing is the registration of a trunk at a carrier or PBX.
type Outgoing struct {
	Trunk     string      `json:"trunk"`
	State     string      `json:"state"`
	Registrar string      `json:"registrar"`
	Contact   string      `json:"contact"`
	Since     record.Time `json:"since"`      // that the state holds
	ExpiresAt record.Time `json:"expires_at"` // null: nothing is registered
	NextAt    record.Time `json:"next_at"`    // null: a request is under way
	Failures  int         `json:"failures"`
	SIPStatus int         `json:"sip_status"`
	Reason    string      `json:"reason"`
}

// Incoming is a Contact that has registered here, or at another node of the fleet.
type Incoming struct {
	Trunk        string      `json:"trunk"`  // that it is of; empty: a target
	Target       string      `json:"target"` // that it is of; empty: a trunk
	Contact      string      `json:"contact"`
	Q            float64     `json:"q"`
	Address      string      `json:"address"` // where it came from
	Transport    string      `json:"transport"`
	Path         []string    `json:"path"`
	UserAgent    string      `json:"user_agent"`
	Node         string      `json:"node,omitempty"` // where it has registered; empty: here
	RegisteredAt record.Time `json:"registered_at"`
	ExpiresAt    record.Time `json:"expires_at"`
}
