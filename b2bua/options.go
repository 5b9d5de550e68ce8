package b2bua

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// capabilities are what the answer to an OPTIONS says of us (RFC 3261 section
// 11.2).
func capabilities(o peerOptions) []sip.Header {
	return []sip.Header{
		allowHeader(o.allow),
		sip.NewHeader("Accept", acceptedBodies),
		sip.NewHeader("Accept-Encoding", "identity"),
		sip.NewHeader("Accept-Language", "en"),
		supported(o),
	}
}

func (l *Leg) capabilities() []sip.Header { return capabilities(l.options) }

// extensions are the option tags of what we can do with a peer (RFC 3261
// section 19.2): those of RFC 4028 and RFC 3262.
func (o peerOptions) extensions() []string {
	if o.rel100 == "" || o.rel100 == config.Rel100Off {
		return []string{"timer"}
	}
	return []string{"timer", "100rel"}
}
