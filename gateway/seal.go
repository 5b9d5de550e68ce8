package gateway

import (
	"encoding/json"
	"errors"

	"flowbridge/gateway/dialog"
)

// sealed is what the gateway's end of a call needs to outlive its process.
type sealed struct {
	dialog.Dialog

	At         string          `json:"a"` // address and port that the B2BUA's INVITE came from
	CallSID    string          `json:"s"`
	URL        string          `json:"w"` // of the bot's socket
	Parameters json.RawMessage `json:"p,omitempty"`
	Law        uint8           `json:"g,omitempty"` // payload type of the audio
	Event      uint8           `json:"e,omitempty"` // payload type of DTMF events; 0 if none
}

// newSeals returns what encrypts the user parts of Contacts.
func newSeals(key [32]byte) (dialog.Seals, error) { return dialog.NewSeals("websocket gateway", key) }

// maxContact bounds the line of a sealed Contact, in bytes. The B2BUA takes no header of more than 4,096 bytes, and a
// change of the call's audio can make the Contact a little longer.
const maxContact = 4000

// errContact means that the Contact of a call would be too long.
var errContact = errors.New("the bot's URL and parameters are too long for a call, make them shorter")

// fits returns an error if what is to be sealed is too long for a Contact.
func (g *Gateway) fits(v *sealed) error {
	user, err := g.seals.Seal(v)
	if err == nil && len("Contact: <sip:@127.0.0.1:65535>")+len(user) > maxContact {
		err = errContact
	}
	return err
}
