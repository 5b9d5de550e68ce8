package config

import "net/netip"

// PeerMedia is the section `media` of a trunk or target: how its RTP is treated.
type PeerMedia struct {
	// Address is the one of media.listen that its RTP is bound to. Default: the zero Addr, the first of its address family.
	Address netip.Addr
	// Latch is strict, auto or off. Default: auto.
	Latch LatchMode
}

// LatchMode says how the source of a side's RTP is found.
type LatchMode string

// The values of media.latch of a trunk or target.
const (
	// LatchStrict takes RTP from the address and port in SDP alone.
	LatchStrict LatchMode = "strict"
	// LatchAuto learns the source among the addresses that are believed, and keeps to it.
	LatchAuto LatchMode = "auto"
	// LatchOff learns nothing: RTP is taken from every address that is believed and goes where the SDP says.
	LatchOff LatchMode = "off"
)

// peerMedia reads the section `media` of a trunk or target.
func (s section) peerMedia() PeerMedia {
	m := s.sub("media", "address", "latch")
	return PeerMedia{
		Address: m.mediaAddress(),
		Latch:   LatchMode(m.choice("latch", string(LatchAuto), string(LatchStrict), string(LatchAuto), string(LatchOff))),
	}
}
