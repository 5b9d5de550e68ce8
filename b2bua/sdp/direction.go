package sdp

import (
	"strings"

	"flowbridge/b2bua/message"
)

// Direction is the direction in which a stream flows, as seen by the side that describes
// it (RFC 3264 section 5.1, RFC 8866 section 6.7).
type Direction string

// The directions.
const (
	AsIs     Direction = "" // as in the description
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// directionOf returns the direction for the name of an attribute, or AsIs if it is not a
// direction.
func directionOf(key string) Direction {
	for _, way := range [...]Direction{SendRecv, SendOnly, RecvOnly, Inactive} {
		if message.EqualFold(key, string(way)) {
			return way
		}
	}
	return AsIs
}

// wayIn returns the direction in a section, or AsIs if it has none.
func wayIn(section string) Direction {
	for line := ""; section != ""; {
		if line, section = cutLine(section); line[0] != 'a' {
			continue
		}
		key, _ := cutAttribute(line[2:])
		if way := directionOf(key); way != AsIs {
			return way
		}
	}
	return AsIs
}

// Direction returns the direction of the audio stream: its own, or else the session's.
func (d *Description) Direction() Direction { return d.way }

// Held reports whether the peer wants no media. It says so by the direction, or, in the
// old way, by the address 0.0.0.0 (RFC 3264 section 8.4).
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
	if d.isChecked() {
		return false
	}
	c := d.Connection()
	return c == "0.0.0.0" || c == "::" || strings.HasSuffix(c, ".invalid")
}

// Mirrored returns the direction of the answer to an offer if the other side receives and
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

// PassedOn returns the direction to offer the other side because of this offer. It turns
// the old way of holding into the new one.
func (d *Description) PassedOn() Direction {
	if d.nowhere() && d.Direction() == SendRecv {
		return SendOnly
	}
	return d.Direction()
}
