package record

import "fmt"

// Transfer is the state of a live call's transfer. It is not recorded: Attempts have its result.
type Transfer struct {
	To string `cbor:"1,keyasint,omitempty" json:"to"`
	// By is the token that ordered the transfer. It is empty if the agent asked for it by REFER.
	By    string `cbor:"2,keyasint,omitempty" json:"by,omitempty"`
	State string `cbor:"3,keyasint,omitempty" json:"state"`
	// Code and Reason are the last SIP status. Cause is why the transfer failed.
	Code   int    `cbor:"4,keyasint,omitempty" json:"code,omitempty"`
	Reason string `cbor:"5,keyasint,omitempty" json:"reason,omitempty"`
	Cause  string `cbor:"6,keyasint,omitempty" json:"cause,omitempty"`
}

// The states of a transfer.
const (
	TransferDialing    = "dialing"
	TransferRinging    = "ringing"
	TransferAnnouncing = "announcing"
	TransferDone       = "done"
	TransferFailed     = "failed"
)

// Is sets the state, the code and the reason. If t is nil, it does nothing.
func (t *Transfer) Is(state string, code int, reason string) {
	if t != nil {
		t.State, t.Code, t.Reason = state, code, reason
	}
}

// Words returns the state in words for an agent to speak.
func (t *Transfer) Words() string {
	switch {
	case t == nil:
		return "The call was not transferred."
	case t.State == TransferDone:
		return "The call was transferred."
	case t.State == TransferFailed:
		return fmt.Sprintf("The transfer has failed: %d %s. The caller is with you.", t.Code, t.Reason)
	case t.State == TransferAnnouncing:
		return "Somebody has answered, and hears what the call is about."
	}
	return "The call is being transferred."
}
