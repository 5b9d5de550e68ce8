package config

// PeerMedia is the section `media` of a trunk or target: how its RTP is treated.
type PeerMedia struct {
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
	m := s.sub("media", "latch")
	return PeerMedia{
		Latch: LatchMode(m.choice("latch", string(LatchAuto), string(LatchStrict), string(LatchAuto), string(LatchOff))),
	}
}
