package sdp

import (
	"strings"

	"github.com/pion/sdp/v3"
)

// Direction is the way in which a stream flows, as seen by the side that describes it
// (RFC 3264 section 5.1, RFC 8866 section 6.7).
type Direction string

// The directions.
const (
	AsIs     Direction = "" // that of the description
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// isDirection reports whether an attribute is a direction.
func isDirection(a sdp.Attribute) bool {
	switch Direction(strings.ToLower(a.Key)) {
	case SendRecv, SendOnly, RecvOnly, Inactive:
		return true
	case AsIs:
	}
	return false
}

// Direction returns the direction of the audio stream: its own, else the session's.
func (d *Description) Direction() Direction {
	for _, attributes := range [][]sdp.Attribute{d.media().Attributes, d.sdp.Attributes} {
		for _, a := range attributes {
			if isDirection(a) {
				return Direction(strings.ToLower(a.Key))
			}
		}
	}
	return SendRecv
}

// Held reports whether the peer wants no media: by its direction, or in the old way
// by an address of zeros (RFC 3264 section 8.4).
func (d *Description) Held() bool {
	way := d.Direction()
	return way == SendOnly || way == Inactive || d.nowhere()
}

// Mute reports whether the peer will send no media.
func (d *Description) Mute() bool {
	way := d.Direction()
	return way == RecvOnly || way == Inactive
}

// nowhere reports whether the connection address is 0.0.0.0, or IPv6's domain
// "invalid" (RFC 6157 section 4.2).
func (d *Description) nowhere() bool {
	c := d.Connection()
	return c == "0.0.0.0" || c == "::" || strings.HasSuffix(c, ".invalid")
}

// Mirrored returns the direction of the answer to an offer if the other side takes and
// sends media (RFC 3264 section 6.1).
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

// PassedOn returns the direction in which the other side is offered this offer. The
// old way of holding is turned into the new one.
func (d *Description) PassedOn() Direction {
	if d.nowhere() && d.Direction() == SendRecv {
		return SendOnly
	}
	return d.Direction()
}

// attributes returns the attributes that say this direction. Sendrecv needs none.
func (w Direction) attributes() []sdp.Attribute {
	if w == SendRecv || w == AsIs {
		return nil
	}
	return []sdp.Attribute{{Key: string(w)}}
}
