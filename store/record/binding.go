package record

import (
	"net/netip"
	"time"
)

// BoundMark starts the id of an entry with a holder's bindings, among the entries of calls.
const BoundMark = "bound "

// Binding is a Contact that has registered here (RFC 3261 section 10).
type Binding struct {
	Contact string `json:"contact"` // its URI
	// of the device (RFC 5626 section 4.1), with its reg-id; empty if it sent none
	Instance   string         `json:"instance,omitempty"`
	Q          int            `json:"q"`       // thousandths: the preference among Contacts
	CallID     string         `json:"call_id"` // of its REGISTER
	CSeq       uint32         `json:"cseq"`
	Path       []string       `json:"path,omitempty"` // of the proxies on the way (RFC 3327), the nearest to us first
	Received   netip.AddrPort `json:"received"`       // where the REGISTER came from
	Transport  string         `json:"transport"`      // udp, tcp or tls
	Flow       uint64         `json:"flow,omitempty"` // the connection it came by, while that lasts; 0 if none
	Node       string         `json:"node,omitempty"` // of the fleet, where it has registered; empty for this one
	Agent      string         `json:"user_agent,omitempty"`
	Registered time.Time      `json:"registered_at"` // the last REGISTER
	Expires    time.Time      `json:"expires_at"`
}
