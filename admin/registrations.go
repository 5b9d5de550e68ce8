package admin

import "flowbridge/store/record"

// Registrations are the registrations of this node elsewhere, and of peers at this node.
type Registrations struct {
	Outgoing []Outgoing `json:"outgoing"` // by trunk
	Incoming []Incoming `json:"incoming"` // by holder; the Contact that is called first comes first
}

// Outgoing is the registration of a trunk at a carrier or PBX.
type Outgoing struct {
	Trunk     string      `json:"trunk"`
	State     string      `json:"state"`
	Registrar string      `json:"registrar"`
	Contact   string      `json:"contact"`
	Since     record.Time `json:"since"`      // when the state began
	ExpiresAt record.Time `json:"expires_at"` // null if nothing is registered
	NextAt    record.Time `json:"next_at"`    // null while a request is in progress
	Failures  int         `json:"failures"`
	SIPStatus int         `json:"sip_status"`
	Reason    string      `json:"reason"`
}

// Incoming is a Contact that has registered here, or at another node of the fleet.
type Incoming struct {
	Trunk        string      `json:"trunk"`  // the trunk that it belongs to; empty for a target's
	Target       string      `json:"target"` // the target that it belongs to; empty for a trunk's
	Contact      string      `json:"contact"`
	Q            float64     `json:"q"`
	Address      string      `json:"address"` // source of the REGISTER
	Transport    string      `json:"transport"`
	Path         []string    `json:"path"`
	UserAgent    string      `json:"user_agent"`
	Node         string      `json:"node,omitempty"` // the node where it has registered; empty for this node
	RegisteredAt record.Time `json:"registered_at"`
	ExpiresAt    record.Time `json:"expires_at"`
}
