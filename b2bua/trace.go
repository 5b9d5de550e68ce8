package b2bua

import (
	"net/netip"
	"time"
)

// Tap sees every SIP message that passes the guard, before it is parsed or
// after it was written. It must not block, nor keep Data.
type Tap interface{ Message(TapMessage) }

// TapMessage is one SIP message on the wire.
type TapMessage struct {
	At            time.Time
	Received      bool // else sent
	Local, Remote netip.AddrPort
	Data          []byte
}
