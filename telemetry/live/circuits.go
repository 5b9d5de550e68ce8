package live

import (
	"cmp"
	"fmt"
	"time"

	"flowbridge/store/record"
)

// These are the values of Circuit.Of.
const (
	CircuitSIP = "sip"
	CircuitAPI = "api"
)

// These are the values of Circuit.State, in the order of flowbridge_circuit_state.
const (
	CircuitClosed   = "closed"
	CircuitHalfOpen = "half_open"
	CircuitOpen     = "open"
)

// Circuit is the state of a target's circuit breaker, for its SIP side or its API.
type Circuit struct {
	Of    string `json:"of"`
	State string `json:"state"`
	// Since is when the circuit was closed, or stopped being closed; tries in between do not count. It is zero if
	// nothing has changed since the start.
	Since record.Time `json:"since"`
	// RetryAt is when an open circuit lets the next call or ping try.
	RetryAt record.Time `json:"retry_at"`
	// Opened and Refused count how often the circuit opened, and how many attempts it refused, since the start.
	Opened  uint64 `json:"opened"`
	Refused uint64 `json:"refused"`
	// Ping is what was wrong with the latest OPTIONS. It is empty if that was answered, or if none is sent.
	Ping string `json:"ping"`
	// Silent says that the circuit is open because answered calls were silent. It is empty if calls failed. Calls that
	// no other target can take still come.
	Silent string `json:"silent"`
}

// Words describes a circuit that is not closed.
func (c Circuit) Words(now time.Time) string {
	of := "it"
	if c.Of == CircuitAPI {
		of = "its API"
	}
	next := "being tried now"
	if c.State == CircuitOpen {
		next = fmt.Sprintf("the next try in %d s", max(0, int(c.RetryAt.Sub(now).Seconds()+0.5)))
	}
	return fmt.Sprintf("%s is out of use since %s, because %s: %s, %d attempts refused", of, c.Since,
		cmp.Or(c.Silent, "it failed"), next, c.Refused)
}

// Address is an address of a target's host name, as calls have found it.
type Address struct {
	// Address is transport://address:port.
	Address string `json:"address"`
	// State is ok or avoided. An avoided address has failed, and the other addresses are tried before it.
	State string `json:"state"`
	// Until is when an avoided address is tried normally again.
	Until record.Time `json:"until"`
	// Cause is why it is avoided.
	Cause string `json:"cause"`
}

// These are the values of Address.State.
const (
	AddressOK      = "ok"
	AddressAvoided = "avoided"
)
