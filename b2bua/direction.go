package b2bua

import (
	"strings"

	"github.com/pion/sdp/v3"
)

// direction is in which way a stream flows, as the side says that describes it
// (RFC 3264 section 5.1, RFC 8866 section 6.7).
type direction string

const (
	dirAsIs     direction = "" // what the description says
	dirSendRecv direction = "sendrecv"
	dirSendOnly direction = "sendonly"
	dirRecvOnly direction = "recvonly"
	dirInactive direction = "inactive"
)

// isDirection says whether an attribute is one of the directions.
func isDirection(a sdp.Attribute) bool {
	switch direction(strings.ToLower(a.Key)) {
	case dirSendRecv, dirSendOnly, dirRecvOnly, dirInactive:
		return true
	case dirAsIs:
	}
	return false
}

// direction is that of the audio stream: what it says itself, else what the
// session says.
func (d *description) direction() direction {
	for _, attributes := range [][]sdp.Attribute{d.media().Attributes, d.sdp.Attributes} {
		for _, a := range attributes {
			if isDirection(a) {
				return direction(strings.ToLower(a.Key))
			}
		}
	}
	return dirSendRecv
}

// held says that the peer wants no media: by its direction, or in the old way,
// by an address of zeros (RFC 3264 section 8.4).
func (d *description) held() bool {
	way := d.direction()
	return way == dirSendOnly || way == dirInactive || d.nowhere()
}

// mute says that the peer will send no media.
func (d *description) mute() bool {
	way := d.direction()
	return way == dirRecvOnly || way == dirInactive
}

// nowhere says that the connection address is 0.0.0.0, or IPv6's domain
// "invalid" (RFC 6157 section 4.2).
func (d *description) nowhere() bool {
	c := d.connection()
	return c == "0.0.0.0" || c == "::" || strings.HasSuffix(c, ".invalid")
}

// mirrored is the direction of our answer to an offer, where the other side
// takes and sends all that it can (RFC 3264 section 6.1).
func (d *description) mirrored() direction {
	switch d.direction() {
	case dirSendOnly:
		return dirRecvOnly
	case dirRecvOnly:
		return dirSendOnly
	case dirInactive:
		return dirInactive
	case dirAsIs, dirSendRecv:
		return dirSendRecv
	}
	return dirSendRecv
}

// passedOn is the direction of the offer that the other side gets for this one,
// whose old way of holding does not pass through us.
func (d *description) passedOn() direction {
	if d.nowhere() && d.direction() == dirSendRecv {
		return dirSendOnly
	}
	return d.direction()
}

// attributes are those of a description with this direction; sendrecv need not
// be said.
func (w direction) attributes() []sdp.Attribute {
	if w == dirSendRecv || w == dirAsIs {
		return nil
	}
	return []sdp.Attribute{{Key: string(w)}}
}
