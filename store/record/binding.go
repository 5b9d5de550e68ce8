package record

import (
	"net/netip"
	"time"
)

// BoundMark is the prefix of the id of an entry with a holder's bindings, which are among the
// entries of calls.
const BoundMark = "bound "

// Binding is a Contact that has registered here (RFC 3261 section 10).
type Binding struct {
	Contact string `json:"contact"` // URI of the Contact
	// identifies the device (RFC 5626 section 4.1), together with its reg-id; empty if it sent none
	Instance   string         `json:"instance,omitempty"`
	Q          int            `json:"q"`       // preference among Contacts, in thousandths
	CallID     string         `json:"call_id"` // Call-ID of its REGISTER
	CSeq       uint32         `json:"cseq"`
	Path       []string       `json:"path,omitempty"` // proxies on the way (RFC 3327), the nearest to us first
	Received   netip.AddrPort `json:"received"`       // source of the REGISTER
	Transport  string         `json:"transport"`      // udp, tcp or tls
	Flow       uint64         `json:"flow,omitempty"` // the connection it came over, while that lasts; 0 if none
	Node       string         `json:"node,omitempty"` // the node of the fleet where it has registered; empty for this one
	Agent      string         `json:"user_agent,omitempty"`
	Registered time.Time      `json:"registered_at"` // time of the last REGISTER
	Expires    time.Time      `json:"expires_at"`
}
