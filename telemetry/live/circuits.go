package live

import (
	"fmt"
	"time"

	"flowbridge/store/record"
)

// The values of Circuit.Of.
const (
	CircuitSIP = "sip"
	CircuitAPI = "api"
)

// The values of Circuit.State, in the order of flowbridge_circuit_state.
const (
	CircuitClosed   = "closed"
	CircuitHalfOpen = "half_open"
	CircuitOpen     = "open"
)

// Circuit is how the circuit breaker of a target does, of its SIP side or of its API.
type Circuit struct {
	Of    string `json:"of"`
	State string `json:"state"`
	// Since is when it was closed, or stopped being closed; tries in between do not count. Zero: at the start.
	Since record.Time `json:"since"`
	// RetryAt is when an open one lets the next call or ping try.
	RetryAt record.Time `json:"retry_at"`
	// Opened and Refused are how often it opened, and how many attempts it refused, since the start.
	Opened  uint64 `json:"opened"`
	Refused uint64 `json:"refused"`
	// Ping is what was wrong with the latest OPTIONS; empty: nothing, or none are sent.
	Ping string `json:"ping"`
}

// Words says in words what a circuit does that is not closed.
func (c Circuit) Words(now time.Time) string {
	of := "it"
	if c.Of == CircuitAPI {
		of = "its API"
	}
	next := "being tried now"
	if c.State == CircuitOpen {
		next = fmt.Sprintf("the next try in %d s", max(0, int(c.RetryAt.Sub(now).Seconds()+0.5)))
	}
	return fmt.Sprintf("%s is out of use since %s, because it failed: %s, %d attempts refused", of, c.Since,
		next, c.Refused)
}

// Address is one address that a target's host name leads to, as calls have found it.
type Address struct {
	// Address is transport://address:port.
	Address string `json:"address"`
	// State is ok, or avoided: it failed, and the others have their turn before it.
	State string `json:"state"`
	// Until is until when an avoided one is.
	Until record.Time `json:"until"`
	// Cause is why it is avoided.
	Cause string `json:"cause"`
}

// The values of Address.State.
const (
	AddressOK      = "ok"
	AddressAvoided = "avoided"
)
