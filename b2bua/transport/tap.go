package transport

import (
	"net/netip"
	"time"
)

// Tap sees every SIP message: the peers' when the screen has admitted them, before they
// are parsed, and ours after they were written. It must not block, and must not keep the
// message.
type Tap interface{ Message(m TapMessage) }

// TapMessage is one SIP message on the wire.
type TapMessage struct {
	At            time.Time
	Received      bool // false means sent
	Transport     string
	Local, Remote netip.AddrPort
	Data          []byte // includes secrets; see message.Redact

	// Fields of a received message, as the screen read them. The slices point into Data.
	CallID, FromTag, ToTag []byte
	Invite                 bool // an INVITE outside a dialog
}

// received returns an admitted message for the Tap.
func (v *verdict) received(data []byte, at time.Time, transport string, local, remote netip.AddrPort) TapMessage {
	return TapMessage{
		At: at, Received: true, Transport: transport, Local: local, Remote: remote, Data: data,
		CallID: v.callID, FromTag: v.fromTag, ToTag: v.toTagOf, Invite: v.invite,
	}
}
