package transport

import (
	"net/netip"
	"time"
)

// Tap sees every SIP message: a peer's message when the screen has admitted it, before it is
// parsed, and our own message when it was written. It must not block, and must not keep the
// message.
type Tap interface{ Message(m TapMessage) }

// TapMessage is one SIP message on the wire.
type TapMessage struct {
	At            time.Time
	Received      bool // false for a message that we sent
	Transport     string
	Local, Remote netip.AddrPort
	Data          []byte // may contain secrets; see message.Redact

	// Fields of a received message, as the screen found them. They point into Data.
	CallID, FromTag, ToTag []byte
	Invite                 bool // an INVITE outside a dialog
}

// received returns the admitted message of a verdict for the Tap.
func (v *verdict) received(data []byte, at time.Time, transport string, local, remote netip.AddrPort) TapMessage {
	return TapMessage{
		At: at, Received: true, Transport: transport, Local: local, Remote: remote, Data: data,
		CallID: v.callID, FromTag: v.fromTag, ToTag: v.toTagOf, Invite: v.invite,
	}
}
