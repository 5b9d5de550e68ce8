package record

import (
	"net/netip"
	"time"
)

// BoundMark begins the id of what is kept of a holder's bindings, beside those of calls.
const BoundMark = "bound "

// Binding is a Contact that has registered here (RFC 3261 section 10).
type Binding struct {
	Contact string `json:"contact"` // its URI
	// of the device (RFC 5626 section 4.1), with its reg-id; empty: it has not said
	Instance   string         `json:"instance,omitempty"`
	Q          int            `json:"q"`       // thousandths: the preference among Contacts
	CallID     string         `json:"call_id"` // of the REGISTER that has made it
	CSeq       uint32         `json:"cseq"`
	Path       []string       `json:"path,omitempty"` // of the proxies on the way (RFC 3327), the nearest to us first
	Received   netip.AddrPort `json:"received"`       // where the REGISTER came from
	Transport  string         `json:"transport"`      // udp, tcp or tls
	Flow       uint64         `json:"flow,omitempty"` // the connection that it came by, as long as that lasts; 0: none
	Node       string         `json:"node,omitempty"` // of the fleet, that it has registered at; empty: this one
	Agent      string         `json:"user_agent,omitempty"`
	Registered time.Time      `json:"registered_at"` // the last REGISTER
	Expires    time.Time      `json:"expires_at"`
}
