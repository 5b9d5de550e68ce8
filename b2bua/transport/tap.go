package transport

import (
	"net/netip"
	"time"
)

// Tap sees every SIP message: one that the screen admits before it is parsed, and one of
// ours after it was written. It must not block, nor keep what it is given.
type Tap interface{ Message(m TapMessage) }

// TapMessage is one SIP message on the wire.
type TapMessage struct {
	At            time.Time
	Received      bool // else sent
	Transport     string
	Local, Remote netip.AddrPort
	Data          []byte // with its secrets: see message.Redact

	// Of a received message, as the screen has read them. The slices point into Data.
	CallID, FromTag, ToTag []byte
	Invite                 bool // outside a dialog
}

// received is an admitted message, for the Tap.
func (v *verdict) received(data []byte, at time.Time, transport string, local, remote netip.AddrPort) TapMessage {
	return TapMessage{
		At: at, Received: true, Transport: transport, Local: local, Remote: remote, Data: data,
		CallID: v.callID, FromTag: v.fromTag, ToTag: v.toTagOf, Invite: v.invite,
	}
}
