package sdp

import (
	"strings"

	"github.com/pion/sdp/v3"
)

// Direction is in which way a stream flows, as the side says that describes it
// (RFC 3264 section 5.1, RFC 8866 section 6.7).
type Direction string

const (
	AsIs     Direction = "" // what the description says
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// isDirection says whether an attribute is one of the directions.
func isDirection(a sdp.Attribute) bool {
	switch Direction(strings.ToLower(a.Key)) {
	case SendRecv, SendOnly, RecvOnly, Inactive:
		return true
	case AsIs:
	}
	return false
}

// Direction is that of the audio stream: what it says itself, else what the
// session says.
func (d *Description) Direction() Direction {
	for _, attributes := range [][]sdp.Attribute{d.Media().Attributes, d.sdp.Attributes} {
		for _, a := range attributes {
			if isDirection(a) {
				return Direction(strings.ToLower(a.Key))
			}
		}
	}
	return SendRecv
}

// Held says that the peer wants no media: by its direction, or in the old way,
// by an address of zeros (RFC 3264 section 8.4).
func (d *Description) Held() bool {
	way := d.Direction()
	return way == SendOnly || way == Inactive || d.nowhere()
}

// Mute says that the peer will send no media.
func (d *Description) Mute() bool {
	way := d.Direction()
	return way == RecvOnly || way == Inactive
}

// nowhere says that the connection address is 0.0.0.0, or IPv6's domain
// "invalid" (RFC 6157 section 4.2).
func (d *Description) nowhere() bool {
	c := d.Connection()
	return c == "0.0.0.0" || c == "::" || strings.HasSuffix(c, ".invalid")
}

// Mirrored is the direction of our answer to an offer, where the other side
// takes and sends all that it can (RFC 3264 section 6.1).
func (d *Description) Mirrored() Direction {
	switch d.Direction() {
	case SendOnly:
		return RecvOnly
	case RecvOnly:
		return SendOnly
	case Inactive:
		return Inactive
	case AsIs, SendRecv:
		return SendRecv
	}
	return SendRecv
}

// PassedOn is the direction of the offer that the other side gets for this one,
// whose old way of holding does not pass through us.
func (d *Description) PassedOn() Direction {
	if d.nowhere() && d.Direction() == SendRecv {
		return SendOnly
	}
	return d.Direction()
}

// attributes are those of a description with this direction; sendrecv need not
// be said.
func (w Direction) attributes() []sdp.Attribute {
	if w == SendRecv || w == AsIs {
		return nil
	}
	return []sdp.Attribute{{Key: string(w)}}
}
