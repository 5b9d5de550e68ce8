package agreement

import (
	"net/netip"

	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/latch"
)

// PeerOf returns where a side's media goes, and which sources of its media are
// believed: the address in its SDP, the address of its signalling, and the configured
// ones. The side speaks this codec if its description has it.
func PeerOf(d *sdp.Description, speaks sdp.Codec, signalling netip.Addr, configured []netip.Prefix,
	mode config.LatchMode,
) media.Peer {
	if !sdp.Includes(d.Formats(), speaks) {
		speaks = d.Speaks()
	}
	speaks = d.OnWire(speaks)
	peer := media.Peer{
		Listed: configured, ClockRate: speaks.Clock, Codec: speaks.Name, Held: d.Held(), Mute: d.Mute(),
		Latch: latchMode(mode),
	}
	if signalling.IsValid() {
		peer.Believed = []netip.Prefix{netip.PrefixFrom(signalling, signalling.BitLen())}
	}
	// a remote peer must not reach services of our own machine
	if rtp := d.RTP(); !rtp.Addr().IsLoopback() || signalling.IsLoopback() {
		peer.RTP, peer.RTCP = rtp, d.RTCP()
	}
	return peer
}

func latchMode(m config.LatchMode) latch.Mode {
	switch m {
	case config.LatchStrict:
		return latch.Strict
	case config.LatchOff:
		return latch.Off
	case config.LatchAuto:
	}
	return latch.Auto
}
